// What happens to an order of patterns: model → resize → encode.
#pragma once

#include "worker/serve/stages.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// Thread-safe; blocks for the whole work. Looks before each stage, and before each picture is
// encoded, whether the result is still wanted. Never throws. Outcome codes: INVALID_ARGUMENT naming
// `count`, `size`, `quality`, `truncation`, `label`, `attributes` or `format`; DATA_LOSS the
// model's files are damaged or gone; CANCELLED; DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED out of
// memory; UNIMPLEMENTED, FAILED_PRECONDITION of infer::LoadModel; INTERNAL.
GenerateOutcome Generate(const GenerateTask& task, const ServeContext& context);

}  // namespace atelier::worker
