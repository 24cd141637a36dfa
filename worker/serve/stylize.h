// What happens to one picture: decode → (resize) → model → colours → strength → encode.
#pragma once

#include <functional>
#include <memory>

#include "common/clock.h"
#include "worker/serve/queue/job.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// The job of `task`; `done` is called by its Finish. Models that work in iterations look before
// each whether the result is still wanted. Outcome codes: INVALID_ARGUMENT naming `image`,
// `strength`, `size`, `quality`, `format`, `precision`, `mix` or `style_image`; DATA_LOSS the
// model's files are damaged or gone; CANCELLED; DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED out of
// memory; UNIMPLEMENTED, FAILED_PRECONDITION of infer::LoadModel; INTERNAL.
std::shared_ptr<Job> MakeStylizeJob(StylizeTask task, Clock& clock,
                                    std::function<void(StylizeOutcome)> done);

}  // namespace atelier::worker
