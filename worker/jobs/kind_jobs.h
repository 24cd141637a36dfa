// Jobs that are more than one training, or none (worker/kinds), from their messages to their end.
#pragma once

#include <atomic>
#include <filesystem>

#include "absl/status/statusor.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "worker/kinds/job_place.h"
#include "worker/train/trainer.h"

namespace atelier::worker {

// Whether the job is a sweep, an evaluation or a set to restyle.
bool IsKindJob(const v1::JobSpec& spec);

// Below the attempt's folder: what a job that succeeded has made.
std::filesystem::path ResultFolder(const v1::JobSpec& spec);

// Runs it. `where` says where to compute; the rest of it is filled in here. Errors: those of
// worker/kinds and of the kinds' parsers; never throws.
absl::StatusOr<train::Outcome> RunKindJob(const internal::v1::StartJob& start,
                                          kinds::JobPlace where, train::Observer& observer,
                                          const std::atomic<bool>& stop);

}  // namespace atelier::worker
