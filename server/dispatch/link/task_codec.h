// The link's messages of work ↔ the server's plain structs.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "server/queue/request.h"

namespace atelier::server {

internal::v1::ServerMessage TaskMessage(RequestId task, const Work& work, absl::Duration left);

// What a worker answered: the outer status is FAILED_PRECONDITION when the message makes no sense
// (the worker cannot be trusted any more), the inner one is its answer. Only codes that a caller of
// Stylize or Generate may see get through; others become INTERNAL.
absl::StatusOr<absl::StatusOr<Outcome>> OutcomeOf(internal::v1::StylizeResult result);
absl::StatusOr<absl::StatusOr<Outcome>> OutcomeOf(internal::v1::GenerateResult result);
absl::StatusOr<absl::StatusOr<Outcome>> OutcomeOf(internal::v1::IdentityResult result);

}  // namespace atelier::server
