// What happens to one picture: decode → (resize) → model → colours → strength → encode.
#pragma once

#include "worker/serve/stages.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// Thread-safe; blocks for the whole work. Looks before each stage whether the result is still
// wanted, and models that work in iterations before each. Never throws. Outcome codes:
// INVALID_ARGUMENT naming `image`, `strength`, `size`, `quality`, `mix` or `style_image`; DATA_LOSS
// the model's files are damaged or gone; CANCELLED; DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED out of
// memory; UNIMPLEMENTED, FAILED_PRECONDITION of infer::LoadModel; INTERNAL.
StylizeOutcome Stylize(const StylizeTask& task, const ServeContext& context);

}  // namespace atelier::worker
