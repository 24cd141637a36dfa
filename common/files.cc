#include "common/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <random>
#include <system_error>

#include "absl/strings/escaping.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace atelier {
namespace {

namespace fs = std::filesystem;

// Closes a file descriptor at the end of its scope.
class Descriptor final {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }

 private:
  int fd_;
};

int OpenRetrying(const fs::path& path, int flags, mode_t mode = 0) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// A sentence that names the file but never its folder, which is the server's own business.
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

// A missing folder is the writer's mistake, not a missing thing that the caller asked for.
absl::Status WriteErrno(int error, const fs::path& path) {
  absl::Status status = ErrnoStatus(error, "write", path);
  return absl::IsNotFound(status) ? absl::InternalError(status.message()) : status;
}

// Zero, or the errno of what failed.
int WriteAndFlush(int fd, std::string_view contents) {
  while (!contents.empty()) {
    const ssize_t written = ::write(fd, contents.data(), contents.size());
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return errno;
    }
    contents.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fsync(fd) == 0 ? 0 : errno;
}

// Unlike a process id, which a restarted container uses again, it never meets what a crash left
// behind.
fs::path TemporaryName(const fs::path& path) {
  static const unsigned int process = std::random_device()();
  static std::atomic<std::uint64_t> counter{0};
  return path.parent_path() / ("." + path.filename().string() + ".tmp-" + std::to_string(process) +
                               "-" + std::to_string(++counter));
}

// Calls `sink` with one chunk of the file after the other; stops early when it returns false.
template <typename Sink>
absl::Status ForEachChunk(const fs::path& path, Sink sink) {
  const Descriptor file(OpenRetrying(path, O_RDONLY));
  if (!file.valid()) {
    return ErrnoStatus(errno, "read", path);
  }
  constexpr std::size_t kChunk = 256 << 10;
  const auto buffer = std::make_unique<char[]>(kChunk);
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer.get(), kChunk);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return ErrnoStatus(errno, "read", path);
    }
    if (count == 0 || !sink(std::string_view(buffer.get(), static_cast<std::size_t>(count)))) {
      return absl::OkStatus();
    }
  }
}

class Sha256 final {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    ATELIER_CHECK(context_ != nullptr);
    ATELIER_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }

  void Add(std::string_view bytes) {
    ATELIER_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }

  std::string Hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int length = 0;
    ATELIER_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &length) == 1);
    return absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(digest.data()), length));
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

absl::Status SyncDirectory(const fs::path& directory) {
  const fs::path folder = directory.empty() ? fs::path(".") : directory;
  const Descriptor descriptor(OpenRetrying(folder, O_RDONLY | O_DIRECTORY));
  if (!descriptor.valid()) {
    return WriteErrno(errno, folder);
  }
  // Some file systems cannot flush a folder and say EINVAL; their renames are as durable as they
  // get.
  if (::fsync(descriptor.get()) != 0 && errno != EINVAL) {
    return WriteErrno(errno, folder);
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const fs::path& path, std::string_view contents) {
  const fs::path temporary = TemporaryName(path);
  int error = 0;
  {
    const Descriptor file(OpenRetrying(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666));
    if (!file.valid()) {
      return WriteErrno(errno, path);
    }
    error = WriteAndFlush(file.get(), contents);
  }
  if (error == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) {
    error = errno;
  }
  if (error != 0) {
    ::unlink(temporary.c_str());
    return WriteErrno(error, path);
  }
  return SyncDirectory(path.parent_path());
}

absl::StatusOr<std::string> ReadFile(const fs::path& path, std::uint64_t max_bytes) {
  std::string contents;
  bool too_large = false;
  ATELIER_RETURN_IF_ERROR(ForEachChunk(path, [&](std::string_view chunk) {
    too_large = contents.size() + chunk.size() > max_bytes;
    if (!too_large) {
      contents.append(chunk);
    }
    return !too_large;
  }));
  if (too_large) {
    return absl::ResourceExhaustedError("\"" + path.filename().string() + "\" is larger than " +
                                        std::to_string(max_bytes) + " bytes");
  }
  return contents;
}

std::string Sha256Hex(std::string_view bytes) {
  Sha256 hash;
  hash.Add(bytes);
  return hash.Hex();
}

absl::StatusOr<std::string> Sha256HexOfFile(const fs::path& path) {
  Sha256 hash;
  ATELIER_RETURN_IF_ERROR(ForEachChunk(path, [&](std::string_view chunk) {
    hash.Add(chunk);
    return true;
  }));
  return hash.Hex();
}

fs::path ExecutableDirectory() {
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  ATELIER_CHECK(!error);
  return executable.parent_path();
}

fs::path ShareDirectory() { return ExecutableDirectory().parent_path() / "share" / "atelier"; }

}  // namespace atelier
