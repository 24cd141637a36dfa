// The link's stylize messages ↔ the server's plain structs.
#pragma once

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "server/queue/request.h"

namespace atelier::server {

internal::v1::ServerMessage TaskMessage(RequestId task, const StylizeWork& work,
                                        absl::Duration left);

// What a worker answered: the outer status is FAILED_PRECONDITION when the message makes no sense
// (the worker cannot be trusted any more), the inner one is its answer. Only codes that a caller of
// Stylize may see get through; others become INTERNAL.
absl::StatusOr<absl::StatusOr<StylizeOutcome>> OutcomeOf(internal::v1::StylizeResult result);

}  // namespace atelier::server
