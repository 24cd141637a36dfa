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

IdentityTask ToIdentityTask(internal::v1::IdentityTask message, absl::Time now);
internal::v1::IdentityResult ToIdentityResult(std::uint64_t task_id, IdentityOutcome outcome);

ModelSource ToModelSource(const internal::v1::ModelSource& message);
// Name, version and checksum; where the files are the server knows.
internal::v1::ModelSource ToProto(const ModelSource& source);
internal::v1::ModelState ToModelState(const ModelEvent& event);

}  // namespace atelier::worker
