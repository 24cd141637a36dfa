// The port for workers of other machines, as the configuration has it.
#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "atelier/v1/config.pb.h"
#include "server/app/certificates.h"
#include "server/dispatch/link/link_server.h"

namespace atelier::server {

// nullopt: none is wanted. Else `certificates`, which must outlive the port, is what it shows and
// whom it lets in. The errors of ReadCertificates. Blocks on the disk.
absl::StatusOr<std::optional<RemotePort>> FindRemotePort(
    const v1::ServerConfig& config, absl::Time now, std::unique_ptr<Certificates>& certificates);

}  // namespace atelier::server
