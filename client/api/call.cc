#include "client/api/call.h"

#include <array>
#include <string_view>

#include "common/rpc/grpc_status.h"

namespace atelier::client {
namespace {

// What gRPC says when a connection came about and the handshake did not, and what it means.
struct HandshakeFailure {
  std::string_view words;
  std::string_view meaning;
};
constexpr std::string_view kHungUp =
    "it closed the connection; it may want TLS (--ca), or a client certificate that it knows "
    "(--cert and --key)";
constexpr std::array kHandshakeFailures = {
    HandshakeFailure{"certificate verify failed",
                     "its certificate does not hold, or is not signed by the given CA (--ca)"},
    HandshakeFailure{"is not in peer certificate", "its certificate is for another host name"},
    HandshakeFailure{"wrong version number",
                     "it does not take TLS; leave out --ca, --cert and --key"},
    HandshakeFailure{"Socket closed", kHungUp}, HandshakeFailure{"Connection reset", kHungUp}};

std::string Unreachable(const std::string& server, std::string_view message) {
  for (const HandshakeFailure& failure : kHandshakeFailures) {
    if (message.starts_with("failed to connect") &&
        message.find(failure.words) != std::string_view::npos) {
      return "cannot talk to the server at " + server + ": " + std::string(failure.meaning);
    }
  }
  return "cannot reach a server at " + server + "; is atelier-server running there?";
}

}  // namespace

absl::Status CallError(const grpc::Status& status, const std::string& server,
                       absl::Duration deadline) {
  // Every error of an Atelier server carries details; without them the words are gRPC's own.
  if (status.error_details().empty()) {
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
      return absl::UnavailableError(Unreachable(server, status.error_message()));
    }
    if (status.error_code() == grpc::StatusCode::CANCELLED) {
      // gRPC 1.51 says this of a call that reaches a server which has just begun to stop.
      return absl::UnavailableError("the call was ended by the server at " + server +
                                    "; it is stopping, or somebody cancelled the call");
    }
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
      return absl::DeadlineExceededError("no answer from " + server + " within " +
                                         absl::FormatDuration(deadline));
    }
  }
  return FromGrpcStatus(status);
}

}  // namespace atelier::client
