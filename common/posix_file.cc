#include "common/posix_file.h"

#include <fcntl.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace atelier {

namespace fs = std::filesystem;

int OpenRetrying(const fs::path& path, int flags, mode_t mode) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

int WriteAll(const Descriptor& file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) {
      return errno;
    }
    bytes.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
  }
  return 0;
}

absl::Status ErrnoStatus(int error, std::string_view action, const fs::path& path) {
  const std::string what =
      "cannot " + std::string(action) + " \"" + path.filename().string() + "\": ";
  switch (error) {
    case ENOSPC:
      return absl::ResourceExhaustedError(what + "the disk is full; free some space");
    case EDQUOT:
      return absl::ResourceExhaustedError(what + "the disk quota is reached; free some space");
    case EROFS:
      return absl::PermissionDeniedError(what + "the file system is read-only");
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(what + "permission denied");
    case ENOENT:
      return absl::NotFoundError(what + "no such file or folder");
    default:
      return absl::InternalError(what + std::generic_category().message(error));
  }
}

absl::Status WriteErrno(int error, const fs::path& path) {
  absl::Status status = ErrnoStatus(error, "write", path);
  return absl::IsNotFound(status) ? absl::InternalError(status.message()) : status;
}

}  // namespace atelier
