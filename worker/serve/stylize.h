// What happens to one picture: decode → (resize) → model → colours → strength → encode.
#pragma once

#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "worker/serve/model_cache.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// What the pictures of a worker share.
struct StylizeContext {
  ModelCache& models;
  Clock& clock;
  // Held while the device computes: two models at once would only take threads from each other.
  absl::Mutex& compute;
};

// Thread-safe; blocks for the whole work. Looks before each stage whether the result is still
// wanted. Never throws. Outcome codes: INVALID_ARGUMENT naming `image`, `strength`, `size` or
// `quality`; DATA_LOSS the model's files are damaged or gone; CANCELLED; DEADLINE_EXCEEDED;
// RESOURCE_EXHAUSTED out of memory; UNIMPLEMENTED, FAILED_PRECONDITION of infer::Stylizer::Load;
// INTERNAL.
StylizeOutcome Stylize(const StylizeTask& task, const StylizeContext& context);

}  // namespace atelier::worker
