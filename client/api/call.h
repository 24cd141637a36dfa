// What every call of the client has in common.
#pragma once

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace atelier::client {

// The server's status, or, where gRPC itself made it, a sentence for people: which server cannot be
// reached, or that no answer came within `deadline`.
absl::Status CallError(const grpc::Status& status, const std::string& server,
                       absl::Duration deadline);

}  // namespace atelier::client
