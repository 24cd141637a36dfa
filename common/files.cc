#include "common/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "common/check.h"
#include "common/file_writer.h"
#include "common/posix_file.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace atelier {
namespace {

namespace fs = std::filesystem;

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
  ATELIER_ASSIGN_OR_RETURN(const std::unique_ptr<FileWriter> file, FileWriter::Create(path));
  ATELIER_RETURN_IF_ERROR(file->Append(contents));
  return file->Commit();
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

absl::Status RemoveVouchedFolder(const fs::path& folder, std::string_view vouching) {
  std::error_code error;
  if (fs::remove(folder / vouching, error)) {
    ATELIER_RETURN_IF_ERROR(SyncDirectory(folder));
  }
  if (!error) {
    fs::remove_all(folder, error);
  }
  return error ? WriteErrno(error.value(), folder) : absl::OkStatus();
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
