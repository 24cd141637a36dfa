#include "worker/files/cache_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

namespace atelier::worker {
namespace {

bool Flock(const Descriptor& file, int operation) {
  int result = -1;
  do {
    result = ::flock(file.get(), operation);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

}  // namespace

absl::StatusOr<Descriptor> LockFile(const std::filesystem::path& path) {
  Descriptor file(OpenRetrying(path, O_RDWR | O_CREAT, 0600));
  if (!file.valid() || !Flock(file, LOCK_EX)) {
    return WriteErrno(errno, path);
  }
  return file;
}

std::optional<Descriptor> TryLockFile(const std::filesystem::path& path, bool writable) {
  Descriptor file(OpenRetrying(path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW));
  if (!file.valid() || !Flock(file, LOCK_EX | LOCK_NB) || !IsStillNamed(file, path)) {
    return std::nullopt;
  }
  return file;
}

bool IsStillNamed(const Descriptor& file, const std::filesystem::path& path) {
  struct stat open = {};
  struct stat named = {};
  return ::fstat(file.get(), &open) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

}  // namespace atelier::worker
