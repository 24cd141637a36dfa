// The link's messages ↔ the plain structs of task.h.
#pragma once

#include "absl/time/time.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// Takes the picture's bytes out of the message. The deadline counts from `now`.
StylizeTask ToStylizeTask(internal::v1::StylizeTask message, absl::Time now);

internal::v1::StylizeResult ToStylizeResult(std::uint64_t task_id, StylizeOutcome outcome);

GenerateTask ToGenerateTask(const internal::v1::GenerateTask& message, absl::Time now);
internal::v1::GenerateResult ToGenerateResult(std::uint64_t task_id, GenerateOutcome outcome);

}  // namespace atelier::worker
