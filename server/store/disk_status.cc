#include "server/store/disk_status.h"

#include <cerrno>

namespace atelier::server {

absl::Status DiskFull() {
  return absl::ResourceExhaustedError(
      "the server's disk is full: free space in its data directory");
}

absl::Status DiskReadOnly() {
  return absl::PermissionDeniedError(
      "the server's data directory is read-only: let the server's user write there");
}

absl::Status DiskStatus(const std::error_code& error) {
  switch (error.value()) {
    case 0:
      return absl::OkStatus();
    case ENOSPC:
    case EDQUOT:
      return DiskFull();
    case EROFS:
    case EACCES:
    case EPERM:
      return DiskReadOnly();
    default:
      return absl::InternalError("the server's disk failed: " + error.message());
  }
}

}  // namespace atelier::server
