#include "server/app/remote_port.h"

#include <utility>

#include "common/status_macros.h"

namespace atelier::server {

absl::StatusOr<std::optional<RemotePort>> FindRemotePort(
    const v1::ServerConfig& config, absl::Time now, std::unique_ptr<Certificates>& certificates) {
  if (!config.has_worker_listen()) {
    return std::nullopt;
  }
  ATELIER_ASSIGN_OR_RETURN(CertificateSet set,
                           ReadCertificates(config.worker_tls(), now, "worker_tls"));
  certificates = std::make_unique<Certificates>(std::move(set));
  return RemotePort{.listen = config.worker_listen(),
                    .credentials = certificates->NewCredentials()};
}

}  // namespace atelier::server
