#include "server/rpc/queued_call.h"

#include <grpcpp/server_context.h>

#include <algorithm>

#include "server/rpc/client_identity.h"

namespace atelier::server {

absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Time now,
                      absl::Duration timeout) {
  const absl::Time deadline = absl::FromChrono(context.deadline());
  // gRPC's "no deadline" is the largest time its clock can tell.
  constexpr absl::Duration kNobodyWaitsThatLong = absl::Hours(24 * 365);
  if (deadline - now <= kNobodyWaitsThatLong) {
    return std::min(deadline, now + timeout);
  }
  return now + (timeout == absl::InfiniteDuration() ? kDefaultDeadline : timeout);
}

WorkTerms TermsOfCall(const grpc::CallbackServerContext& context, const CallTerms& terms,
                      absl::Time now) {
  return {.client = ClientOf(context),
          .priority = terms.priority,
          .deadline = DeadlineOf(context, now, terms.timeout)};
}

}  // namespace atelier::server
