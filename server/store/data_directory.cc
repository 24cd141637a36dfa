#include "server/store/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "common/files.h"
#include "common/status_macros.h"

namespace atelier::server::store {
namespace {

namespace fs = std::filesystem;

// Enough for SQLite to open and migrate.
constexpr std::size_t kProbeBytes = 256 << 10;
constexpr std::size_t kMaxFormatBytes = 64;

std::string Name(const fs::path& path) { return "data directory " + path.string(); }

// Gives a status of common/files.h the folder's name and what to do.
absl::Status Explain(const absl::Status& status, const fs::path& path) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return absl::ResourceExhaustedError(Name(path) + " is full; free some space and start again");
    case absl::StatusCode::kPermissionDenied:
      return absl::PermissionDeniedError(
          Name(path) + " cannot be written; give this user the right to, or choose another one");
    default:
      return absl::Status(status.code(), Name(path) + ": " + std::string(status.message()));
  }
}

absl::Status FromErrno(int error, const fs::path& path) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return Explain(absl::ResourceExhaustedError(""), path);
    case EROFS:
    case EACCES:
    case EPERM:
      return Explain(absl::PermissionDeniedError(""), path);
    default:
      return absl::FailedPreconditionError(Name(path) + " cannot be used (" +
                                           std::generic_category().message(error) +
                                           "); choose another --data-dir");
  }
}

absl::Status MakeDirectory(const fs::path& root, const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    return FromErrno(error.value(), root);
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Lock(const fs::path& root) {
  // Workers must not inherit it: they would keep the folder locked after the server's end.
  const int fd = ::open((root / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    return FromErrno(errno, root);
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) {
    return fd;
  }
  const int error = errno;
  ::close(fd);
  if (error == EWOULDBLOCK) {
    return absl::FailedPreconditionError(
        Name(root) + " is in use by another server; stop that one or give another --data-dir");
  }
  return FromErrno(error, root);
}

// A full disk shows here rather than in the middle of the first job.
absl::Status ProbeSpace(const fs::path& root) {
  const fs::path probe = root / ".probe";
  const absl::Status written = WriteFileAtomically(probe, std::string(kProbeBytes, '\0'));
  std::error_code ignored;
  fs::remove(probe, ignored);
  return written.ok() ? written : Explain(written, root);
}

absl::Status CheckFormat(const fs::path& root) {
  const fs::path file = root / "FORMAT";
  const absl::StatusOr<std::string> text = ReadFile(file, kMaxFormatBytes);
  if (absl::IsNotFound(text.status())) {
    std::error_code error;
    if (fs::exists(root / "atelier.db", error)) {
      return absl::FailedPreconditionError(
          Name(root) + " holds a database but no file FORMAT; restore it from a backup");
    }
    const absl::Status written = WriteFileAtomically(file, std::to_string(kDataFormat) + "\n");
    return written.ok() ? written : Explain(written, root);
  }
  int format = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &format) || format < 1) {
    return absl::FailedPreconditionError(
        Name(root) + ": its file FORMAT is not a version number; restore it from a backup");
  }
  if (format > kDataFormat) {
    return absl::FailedPreconditionError(Name(root) + " has format " + std::to_string(format) +
                                         ", and this server knows formats up to " +
                                         std::to_string(kDataFormat) +
                                         "; use a newer atelier-server");
  }
  return absl::OkStatus();
}

absl::Status Prepare(const DataDirectory& directory) {
  ATELIER_RETURN_IF_ERROR(CheckFormat(directory.path()));
  ATELIER_RETURN_IF_ERROR(ProbeSpace(directory.path()));
  for (const fs::path& room : {directory.models(), directory.jobs(), directory.datasets()}) {
    ATELIER_RETURN_IF_ERROR(MakeDirectory(directory.path(), room));
  }
  return absl::OkStatus();
}

}  // namespace

DataDirectory::DataDirectory(fs::path path, int lock_fd)
    : path_(std::move(path)), lock_fd_(lock_fd) {}

DataDirectory::~DataDirectory() { ::close(lock_fd_); }

absl::StatusOr<std::unique_ptr<DataDirectory>> DataDirectory::Open(const fs::path& path) {
  std::error_code error;
  const fs::path root = fs::absolute(path, error).lexically_normal();
  if (path.empty() || error) {
    return absl::FailedPreconditionError("no data directory is given; say where with --data-dir");
  }
  ATELIER_RETURN_IF_ERROR(MakeDirectory(root, root));
  ATELIER_ASSIGN_OR_RETURN(const int lock_fd, Lock(root));
  std::unique_ptr<DataDirectory> directory(new DataDirectory(root, lock_fd));
  ATELIER_RETURN_IF_ERROR(Prepare(*directory));
  return directory;
}

}  // namespace atelier::server::store
