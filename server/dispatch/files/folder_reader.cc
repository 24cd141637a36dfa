#include "server/dispatch/files/folder_reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "common/confined_path.h"
#include "common/image_header.h"
#include "common/picture_path.h"
#include "common/picture_task.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

using Kind = SharedFolder::Kind;

constexpr int kMaxDepth = 16;

bool IsGone(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

absl::Status Unsendable(std::string_view path, std::string_view why) {
  return absl::FailedPreconditionError(QuotedName(path) + std::string(why));
}

absl::Status Unreadable(std::string_view path, int error) {
  return error == EACCES || error == EPERM
             ? Unsendable(path, " may not be read by the server, and cannot be sent")
             : absl::InternalError("the server's disk failed: " +
                                   std::generic_category().message(error));
}

// Whether files of this path are told of.
bool IsTold(Kind kind, std::string_view path) {
  return kind != Kind::kDataset || path == kDatasetFile ||
         (HasPictureExtension(std::string(path)) && std::ranges::count(path, '/') <= 1);
}

// One for each file of a folder, before the first is told: kept small.
struct Found {
  std::string path;
  FileFacts facts;
};

absl::Status NotWanted() { return absl::CancelledError("nobody waits for the listing any more"); }

// Collects the files of a folder and of those below.
class Walk {
 public:
  Walk(Kind kind, absl::FunctionRef<bool()> wanted, std::size_t most)
      : kind_(kind), wanted_(wanted), most_(most) {}

  // The entries of `folder`, whose path is `prefix` (empty, or with a slash at its end).
  absl::Status Visit(const Descriptor& folder, const std::string& prefix, int depth) {
    const int copy = ::fcntl(folder.get(), F_DUPFD_CLOEXEC, 0);
    const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(copy), &::closedir);
    if (listing == nullptr) {
      const int error = errno;
      const Descriptor unused(copy);
      return Unreadable(prefix, error);
    }
    while (const dirent* entry = ::readdir(listing.get())) {
      if (!wanted_()) {
        return NotWanted();
      }
      const std::string name = entry->d_name;
      if (!name.starts_with('.')) {
        ATELIER_RETURN_IF_ERROR(VisitEntry(folder, name, prefix + name, depth));
      }
    }
    return absl::OkStatus();
  }

  std::vector<Found> Sorted() {
    std::ranges::sort(found_, {}, &Found::path);
    return std::move(found_);
  }

 private:
  absl::Status VisitEntry(const Descriptor& folder, const std::string& name,
                          const std::string& path, int depth) {
    struct stat facts = {};
    if (::fstatat(folder.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
      return IsGone(errno) ? absl::OkStatus() : Unreadable(path, errno);
    }
    if (S_ISDIR(facts.st_mode)) {
      return kind_ == Kind::kDataset && depth > 0 ? absl::OkStatus()
                                                  : VisitFolder(folder, name, path, depth);
    }
    if (!IsTold(kind_, path)) {
      return absl::OkStatus();
    }
    if (S_ISLNK(facts.st_mode)) {
      return Unsendable(path,
                        " is a link, which is not sent to other machines; put the file there");
    }
    if (!S_ISREG(facts.st_mode)) {
      return absl::OkStatus();
    }
    if (!CheckConfinedPath("path", path).ok()) {
      return Unsendable(path,
                        " has a name that cannot be sent to other machines; use at most 200 bytes "
                        "of UTF-8 without control characters and backslashes, and 512 with the "
                        "folders");
    }
    if (found_.size() >= most_) {
      return absl::ResourceExhaustedError("the folder holds more than " + std::to_string(most_) +
                                          " files, too many for a worker on another machine");
    }
    found_.push_back({.path = path, .facts = FactsOf(facts)});
    return absl::OkStatus();
  }

  absl::Status VisitFolder(const Descriptor& folder, const std::string& name,
                           const std::string& path, int depth) {
    if (depth >= kMaxDepth) {
      return Unsendable(path, " is nested too deeply to be sent");
    }
    const Descriptor inner(
        ::openat(folder.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!inner.valid()) {
      return IsGone(errno) ? absl::OkStatus() : Unreadable(path, errno);
    }
    return Visit(inner, path + "/", depth + 1);
  }

  const Kind kind_;
  const absl::FunctionRef<bool()> wanted_;
  const std::size_t most_;
  std::vector<Found> found_;
};

// The folder itself may be a link: the server's operator has named it.
absl::StatusOr<Descriptor> OpenRoot(const SharedFolder& folder) {
  Descriptor root(OpenRetrying(folder.path, O_RDONLY | O_DIRECTORY));
  if (!root.valid()) {
    return IsGone(errno) ? absl::NotFoundError("the folder is gone")
                         : Unreadable(folder.path.filename().string(), errno);
  }
  return root;
}

// Fills in the digest. False: the file is gone.
absl::StatusOr<bool> Complete(const Descriptor& root, const Found& found, DigestTable& digests,
                              absl::FunctionRef<bool()> wanted, SharedFile& file) {
  file.path = found.path;
  file.size = found.facts.size;
  if (auto known = digests.Find(found.facts); known.has_value()) {
    file.sha256 = *std::move(known);
    return true;
  }
  const Descriptor opened = OpenBelow(root, found.path);
  struct stat facts = {};
  if (!opened.valid() || ::fstat(opened.get(), &facts) != 0) {
    return IsGone(errno) ? absl::StatusOr<bool>(false) : Unreadable(found.path, errno);
  }
  if (!S_ISREG(facts.st_mode)) {
    return false;
  }
  file.size = static_cast<std::uint64_t>(facts.st_size);
  absl::StatusOr<std::string> sha256 = digests.Of(opened, FactsOf(facts), wanted);
  if (absl::IsNotFound(sha256.status())) {
    return false;
  }
  ATELIER_ASSIGN_OR_RETURN(file.sha256, std::move(sha256));
  return true;
}

}  // namespace

absl::Status ListSharedFiles(const SharedFolder& folder, DigestTable& digests,
                             absl::FunctionRef<bool()> wanted,
                             absl::FunctionRef<void(const SharedFile&)> visit, std::size_t most) {
  ATELIER_ASSIGN_OR_RETURN(const Descriptor root, OpenRoot(folder));
  Walk walk(folder.kind, wanted, most);
  ATELIER_RETURN_IF_ERROR(walk.Visit(root, "", 0));
  for (const Found& found : walk.Sorted()) {
    if (!wanted()) {
      return NotWanted();
    }
    SharedFile file;
    ATELIER_ASSIGN_OR_RETURN(const bool there, Complete(root, found, digests, wanted, file));
    if (there) {
      visit(file);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Descriptor> OpenSharedFile(const SharedFolder& folder, std::string_view path) {
  ATELIER_RETURN_IF_ERROR(CheckConfinedPath("path", path));
  ATELIER_ASSIGN_OR_RETURN(const Descriptor root, OpenRoot(folder));
  Descriptor file = IsTold(folder.kind, path) ? OpenBelow(root, path) : Descriptor(-1);
  struct stat facts = {};
  if (file.valid() && ::fstat(file.get(), &facts) == 0 && S_ISREG(facts.st_mode)) {
    return file;
  }
  if (!file.valid() && IsTold(folder.kind, path) && !IsGone(errno)) {
    return Unreadable(path, errno);
  }
  return absl::NotFoundError(QuotedName(path) + " is not in this folder (any more)");
}

absl::Status ReadSharedFile(const Descriptor& file, std::uint64_t offset, std::size_t piece,
                            absl::FunctionRef<bool(std::string_view)> visit) {
  struct stat facts = {};
  if (::fstat(file.get(), &facts) != 0) {
    return absl::InternalError("the server's disk failed");
  }
  if (std::cmp_greater(offset, facts.st_size)) {
    return absl::OutOfRangeError("offset: the file has " + std::to_string(facts.st_size) +
                                 " bytes");
  }
  std::vector<char> block(piece);
  while (true) {
    const ssize_t got = ::pread(file.get(), block.data(), block.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return absl::InternalError("the server's disk failed");
    }
    if (got == 0 || !visit({block.data(), static_cast<std::size_t>(got)})) {
      return absl::OkStatus();
    }
    offset += static_cast<std::uint64_t>(got);
  }
}

}  // namespace atelier::server
