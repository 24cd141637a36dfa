#include "server/store/disk_status.h"

#include <cerrno>

namespace atelier::server {

absl::Status DiskStatus(const std::error_code& error) {
  switch (error.value()) {
    case 0:
      return absl::OkStatus();
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError("the server's disk is full");
    case EROFS:
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError("the server's data directory is read-only");
    default:
      return absl::InternalError("the server's disk failed: " + error.message());
  }
}

}  // namespace atelier::server
