// What tests of the real programs ask of jobs.
#pragma once

#include <string>
#include <vector>

#include "atelier/v1/training.pb.h"
#include "tests/integration/service.h"

namespace atelier::test {

// Empty when the server does not answer, or has no such job.
v1::Job GetJob(Service& service, const std::string& job_id);

// All events of a job up to its final state.
std::vector<v1::JobEvent> Watch(Service& service, const std::string& job_id);

// Waits until the job has a whole checkpoint and is in the middle of its work.
void AwaitCheckpoint(Service& service, const std::string& job_id);

}  // namespace atelier::test
