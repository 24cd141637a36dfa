// The connection to a server.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/api/client.h"

namespace atelier::client {

// "unix:PATH" rather than HOST:PORT.
bool IsUnixSocket(std::string_view server);

// With TLS if the options name a file of certificates. Does not connect yet. INVALID_ARGUMENT,
// NOT_FOUND, PERMISSION_DENIED: what is wrong with the files, naming `ca`, `cert` or `key`.
absl::StatusOr<std::shared_ptr<grpc::Channel>> NewChannel(const Client::Options& options);

}  // namespace atelier::client
