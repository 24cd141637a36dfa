// Work that comes back as it went in: for measuring what the way through the worker costs.
#pragma once

#include <functional>
#include <memory>

#include "common/clock.h"
#include "worker/serve/queue/job.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// The job of `task`, which ends where pictures are decoded; `done` is called by its Finish. Outcome
// codes: CANCELLED, DEADLINE_EXCEEDED.
std::shared_ptr<Job> MakeIdentityJob(IdentityTask task, Clock& clock,
                                     std::function<void(IdentityOutcome)> done);

}  // namespace atelier::worker
