// What the files of this folder have in common: descriptors, and errno as a status.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <utility>

#include "absl/status/status.h"

namespace atelier {

// Closes a file descriptor at the end of its scope.
class Descriptor final {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}  // -1: none
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }
  // The caller's to close from now on.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// open(2) with O_CLOEXEC, again after an interruption.
int OpenRetrying(const std::filesystem::path& path, int flags, mode_t mode = 0);

// write(2) until all of it is written; errno, or 0.
int WriteAll(const Descriptor& file, std::string_view bytes);

// A sentence that names the file but never its folder, which is the server's own business: "cannot
// read "x": no such file or folder". RESOURCE_EXHAUSTED: disk full or quota reached;
// PERMISSION_DENIED: read-only; NOT_FOUND; INTERNAL: anything else.
absl::Status ErrnoStatus(int error, std::string_view action, const std::filesystem::path& path);

// The same for writing. A missing folder is the writer's mistake, not a missing thing that the
// caller asked for: INTERNAL.
absl::Status WriteErrno(int error, const std::filesystem::path& path);

}  // namespace atelier
