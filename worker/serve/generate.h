// What happens to an order of patterns: model → resize → encode.
#pragma once

#include <functional>
#include <memory>

#include "common/clock.h"
#include "worker/serve/queue/job.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// The job of `task`, which goes alone; `done` is called by its Finish, which looks before each
// picture whether it is still wanted. Outcome codes: INVALID_ARGUMENT naming `count`, `size`,
// `quality`, `truncation`, `label`, `attributes` or `format`; DATA_LOSS the model's files are
// damaged or gone; CANCELLED; DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED out of memory; UNIMPLEMENTED,
// FAILED_PRECONDITION of infer::LoadModel; INTERNAL.
std::shared_ptr<Job> MakeGenerateJob(GenerateTask task, Clock& clock,
                                     std::function<void(GenerateOutcome)> done);

}  // namespace atelier::worker
