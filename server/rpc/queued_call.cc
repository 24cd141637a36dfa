#include "server/rpc/queued_call.h"

#include <grpcpp/server_context.h>

namespace atelier::server {

absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Time now) {
  const absl::Time deadline = absl::FromChrono(context.deadline());
  // gRPC's "no deadline" is the largest time its clock can tell.
  constexpr absl::Duration kNobodyWaitsThatLong = absl::Hours(24 * 365);
  return deadline - now > kNobodyWaitsThatLong ? now + kDefaultDeadline : deadline;
}

}  // namespace atelier::server
