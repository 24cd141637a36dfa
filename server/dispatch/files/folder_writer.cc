#include "server/dispatch/files/folder_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "common/confined_path.h"
#include "common/errors.h"
#include "common/file_writer.h"
#include "common/files.h"
#include "common/picture_path.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

// The worker has a disk, too: sentences must say whose is meant. One that cannot be written is to
// the job like one that is full.
absl::Status OnServer(const absl::Status& status) {
  const bool disk = absl::IsResourceExhausted(status) || absl::IsPermissionDenied(status);
  const std::string sentence = "on the server: " + std::string(status.message());
  return status.ok() ? status
         : disk      ? absl::ResourceExhaustedError(sentence)
                     : absl::InternalError(sentence);
}

class WholeFile final : public IncomingFile {
 public:
  explicit WholeFile(std::unique_ptr<FileWriter> writer) : writer_(std::move(writer)) {}
  absl::Status Append(std::string_view bytes) override { return OnServer(writer_->Append(bytes)); }
  absl::Status Commit() override { return OnServer(writer_->Commit()); }

 private:
  const std::unique_ptr<FileWriter> writer_;
};

// Bytes at the end of a file that only grows. If the server itself dies in between, a part of them
// may stay, as when a trainer on this machine dies; who appends then finds another size.
class AppendedFile final : public IncomingFile {
 public:
  AppendedFile(Descriptor file, fs::path path, std::uint64_t at)
      : file_(std::move(file)), path_(std::move(path)), at_(at) {}
  ~AppendedFile() override {
    if (!committed_) {
      // Where that fails the size tells the next call that the file is not as it was.
      [[maybe_unused]] const int failed = ::ftruncate(file_.get(), static_cast<off_t>(at_));
    }
  }

  absl::Status Append(std::string_view bytes) override {
    if (const int error = WriteAll(file_, bytes); error != 0) {
      return OnServer(WriteErrno(error, path_));
    }
    return absl::OkStatus();
  }

  absl::Status Commit() override {
    if (::fsync(file_.get()) != 0) {
      return OnServer(WriteErrno(errno, path_));
    }
    committed_ = true;
    return absl::OkStatus();
  }

 private:
  const Descriptor file_;
  const fs::path path_;
  const std::uint64_t at_;
  bool committed_ = false;
};

absl::StatusOr<Descriptor> OpenAttempt(const fs::path& folder) {
  Descriptor root(OpenRetrying(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (!root.valid()) {
    return absl::AbortedError("the folder of this attempt is gone");
  }
  return root;
}

// Makes the folder `name` in `parent` if it is missing, and opens it.
absl::StatusOr<Descriptor> MakeFolder(const Descriptor& parent, const std::string& name) {
  if (::mkdirat(parent.get(), name.c_str(), 0777) == 0) {
    if (::fsync(parent.get()) != 0) {
      return OnServer(WriteErrno(errno, name));
    }
  } else if (errno != EEXIST) {
    return OnServer(WriteErrno(errno, name));
  }
  Descriptor folder(
      ::openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.valid()) {
    return InvalidField("path", QuotedName(name) + " is no folder");
  }
  return folder;
}

absl::Status MakeFoldersOf(const Descriptor& root, std::string_view path) {
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos) {
    return absl::OkStatus();
  }
  ATELIER_ASSIGN_OR_RETURN(const Descriptor folder,
                           MakeFolder(root, std::string(path.substr(0, slash))));
  return MakeFoldersOf(folder, path.substr(slash + 1));
}

// What a training adds to as it goes.
bool Grows(std::string_view path) {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name == "stats.jsonl" || name == "log.txt" || name.starts_with("events.out.");
}

absl::StatusOr<std::unique_ptr<IncomingFile>> OpenForAppending(
    const Descriptor& root, const fs::path& folder, const internal::v1::FileHeader& header) {
  const auto refused = [&header](std::string_view why) {
    return absl::FailedPreconditionError("append_at: " + QuotedName(header.path()) +
                                         std::string(why) + "; send it whole");
  };
  if (!Grows(header.path())) {
    return refused(" is not a file that grows");
  }
  Descriptor file = OpenBelow(root, header.path(), O_WRONLY | O_APPEND);
  struct stat facts = {};
  if (!file.valid() || ::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode) ||
      static_cast<std::uint64_t>(facts.st_size) != header.append_at()) {
    return refused(" has another size here");
  }
  // Kept elsewhere under another name, where it must stay as it is.
  if (facts.st_nlink != 1) {
    return refused(" has a second name here");
  }
  return std::make_unique<AppendedFile>(std::move(file), folder / header.path(),
                                        header.append_at());
}

absl::StatusOr<std::unique_ptr<IncomingFile>> OpenForWriting(
    const fs::path& folder, const internal::v1::FileHeader& header) {
  ATELIER_ASSIGN_OR_RETURN(const Descriptor root, OpenAttempt(folder));
  if (header.append_at() > 0) {
    return OpenForAppending(root, folder, header);
  }
  ATELIER_RETURN_IF_ERROR(MakeFoldersOf(root, header.path()));
  absl::StatusOr<std::unique_ptr<FileWriter>> writer = FileWriter::Create(folder / header.path());
  if (!writer.ok()) {
    return OnServer(writer.status());
  }
  return std::make_unique<WholeFile>(*std::move(writer));
}

}  // namespace

absl::Status FolderWriter::Apply(const internal::v1::FileWrite& write) {
  using Write = internal::v1::FileWrite;
  if (incoming_.has_value() != (write.write_case() == Write::kData)) {
    return absl::InvalidArgumentError(incoming_.has_value()
                                          ? "a file has begun and is not complete"
                                          : "data of no file, or no message at all");
  }
  switch (write.write_case()) {
    case Write::kFile:
      return Begin(write.file());
    case Write::kData:
      return Append(write.data());
    case Write::kRemove:
      return Remove(write.remove());
    case Write::kBegin:
      return InvalidField("begin", "must come once, as the first message");
    case Write::WRITE_NOT_SET:
      return absl::InvalidArgumentError("a message without a content");
  }
  return absl::OkStatus();
}

absl::Status FolderWriter::Finish() {
  const bool cut = incoming_.has_value();
  incoming_.reset();
  return cut ? absl::InvalidArgumentError("the messages end within a file") : absl::OkStatus();
}

absl::Status FolderWriter::CheckCurrent() const {
  return options_.current()
             ? absl::OkStatus()
             : absl::AbortedError("the attempt is not the job's present one any more");
}

absl::Status FolderWriter::Begin(const internal::v1::FileHeader& header) {
  ATELIER_RETURN_IF_ERROR(CheckConfinedPath("path", header.path()));
  if (header.size() > kMostFileBytes || header.append_at() > kMostFileBytes - header.size()) {
    return InvalidField("size", "must be at most 16 GiB, with what the file has already");
  }
  if (!IsSha256Hex(header.sha256())) {
    return InvalidField("sha256", "must be 64 hexadecimal digits in lower case");
  }
  ATELIER_RETURN_IF_ERROR(CheckCurrent());
  ATELIER_ASSIGN_OR_RETURN(std::unique_ptr<IncomingFile> file,
                           OpenForWriting(options_.folder, header));
  incoming_.emplace();
  incoming_->header = header;
  incoming_->file = std::move(file);
  incoming_->left = header.size();
  return header.size() == 0 ? Commit() : absl::OkStatus();
}

absl::Status FolderWriter::Append(std::string_view bytes) {
  if (bytes.empty() || bytes.size() > kMostChunkBytes || bytes.size() > incoming_->left) {
    incoming_.reset();
    return InvalidField("data", "must be 1 byte to 1 MiB, and no more than the file's size");
  }
  incoming_->sha256.Add(bytes);
  incoming_->left -= bytes.size();
  ATELIER_RETURN_IF_ERROR(incoming_->file->Append(bytes));
  return incoming_->left == 0 ? Commit() : absl::OkStatus();
}

absl::Status FolderWriter::Commit() {
  Incoming incoming = *std::move(incoming_);
  incoming_.reset();
  const internal::v1::FileHeader& header = incoming.header;
  if (incoming.sha256.Hex() != header.sha256()) {
    return absl::DataLossError(QuotedName(header.path()) + " has arrived with another SHA-256");
  }
  ATELIER_RETURN_IF_ERROR(CheckCurrent());
  ATELIER_RETURN_IF_ERROR(incoming.file->Commit());
  struct stat facts = {};
  if (header.append_at() == 0 && ::lstat((options_.folder / header.path()).c_str(), &facts) == 0) {
    options_.digests->Put(FactsOf(facts), header.sha256());
  }
  ++files_;
  return absl::OkStatus();
}

absl::Status FolderWriter::Remove(std::string_view path) {
  ATELIER_RETURN_IF_ERROR(CheckConfinedPath("remove", path));
  ATELIER_RETURN_IF_ERROR(CheckCurrent());
  ATELIER_ASSIGN_OR_RETURN(const Descriptor root, OpenAttempt(options_.folder));
  const std::size_t slash = path.rfind('/');
  if (slash != std::string_view::npos) {
    const Descriptor parent = OpenBelow(root, path.substr(0, slash), O_RDONLY | O_DIRECTORY);
    if (!parent.valid()) {
      return absl::OkStatus();  // nor is what was in it
    }
  }
  const fs::path target = options_.folder / path;
  std::error_code error;
  fs::remove_all(target, error);  // of a link only itself
  if (error) {
    return OnServer(WriteErrno(error.value(), target));
  }
  return SyncDirectory(target.parent_path());
}

}  // namespace atelier::server
