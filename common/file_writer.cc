#include "common/file_writer.h"

#include <fcntl.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <random>
#include <string>
#include <utility>

#include "common/files.h"

namespace atelier {
namespace {

namespace fs = std::filesystem;

// Unlike a process id, which a restarted container uses again, it never meets what a crash left
// behind.
fs::path TemporaryName(const fs::path& path) {
  static const unsigned int process = std::random_device()();
  static std::atomic<std::uint64_t> counter{0};
  return path.parent_path() / ("." + path.filename().string() + ".tmp-" + std::to_string(process) +
                               "-" + std::to_string(++counter));
}

}  // namespace

FileWriter::FileWriter(fs::path path, fs::path temporary, Descriptor file)
    : path_(std::move(path)), temporary_(std::move(temporary)), file_(std::move(file)) {}

absl::StatusOr<std::unique_ptr<FileWriter>> FileWriter::Create(const fs::path& path) {
  fs::path temporary = TemporaryName(path);
  Descriptor file(OpenRetrying(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666));
  if (!file.valid()) {
    return WriteErrno(errno, path);
  }
  return std::unique_ptr<FileWriter>(new FileWriter(path, std::move(temporary), std::move(file)));
}

FileWriter::~FileWriter() {
  if (!committed_) {
    ::unlink(temporary_.c_str());
  }
}

absl::Status FileWriter::Append(std::string_view bytes) {
  if (const int error = WriteAll(file_, bytes); error != 0) {
    return WriteErrno(error, path_);
  }
  bytes_ += bytes.size();
  return absl::OkStatus();
}

absl::Status FileWriter::Commit() {
  if (::fsync(file_.get()) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return WriteErrno(errno, path_);
  }
  committed_ = true;
  return SyncDirectory(path_.parent_path());
}

}  // namespace atelier
