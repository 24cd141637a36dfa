#include "client/api/call.h"

#include "common/rpc/grpc_status.h"

namespace atelier::client {

absl::Status CallError(const grpc::Status& status, const std::string& server,
                       absl::Duration deadline) {
  // Every error of an Atelier server carries details; without them the words are gRPC's own.
  if (status.error_details().empty()) {
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
      return absl::UnavailableError("cannot reach a server at " + server +
                                    "; is atelier-server running there?");
    }
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
      return absl::DeadlineExceededError("no answer from " + server + " within " +
                                         absl::FormatDuration(deadline));
    }
  }
  return FromGrpcStatus(status);
}

}  // namespace atelier::client
