#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "common/errors.h"
#include "common/image_header.h"
#include "common/posix_file.h"
#include "common/status_macros.h"
#include "worker/gather/sources.h"

namespace atelier::gather {
namespace {

namespace fs = std::filesystem;

constexpr char kFolder[] = "folder";

absl::Status FolderRefused(const std::string& sentence) { return InvalidField(kFolder, sentence); }

int OpenBelow(int folder, const std::string& name, int flags) {
  int fd = -1;
  do {
    fd = ::openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | flags);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// A folder below another one, part by part: no part may be a link, so that the way cannot be
// turned elsewhere while it is walked.
absl::StatusOr<std::unique_ptr<Descriptor>> OpenFolder(const fs::path& root,
                                                       const fs::path& below) {
  auto folder = std::make_unique<Descriptor>(OpenRetrying(root, O_RDONLY | O_DIRECTORY));
  int error = errno;
  for (const fs::path& part : below) {
    if (part == ".." || part == "/") {
      return FolderRefused("leads out of its root; it must be relative and not hold \"..\"");
    }
    if (part.empty() || part == "." || !folder->valid()) {
      continue;
    }
    folder = std::make_unique<Descriptor>(OpenBelow(folder->get(), part.string(), O_DIRECTORY));
    error = errno;
    if (!folder->valid() && (error == ELOOP || error == ENOTDIR)) {
      return FolderRefused("is, or lies behind, a link or a file; name a real folder");
    }
  }
  if (!folder->valid()) {
    return ErrnoStatus(error, "read", below);
  }
  return folder;
}

// Reads one folder and its folders.
class FolderReader final {
 public:
  FolderReader(std::uint64_t max_entries, PictureSet& set) : max_entries_(max_entries), set_(set) {}

  absl::Status Read(const Descriptor& folder, const std::string& label) {
    ATELIER_ASSIGN_OR_RETURN(const std::vector<std::string> names, Names(folder.get()));
    for (const std::string& name : names) {
      ATELIER_RETURN_IF_ERROR(Take(folder.get(), label, name));
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::vector<std::string>> Names(int folder) {
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(
        ::fdopendir(::fcntl(folder, F_DUPFD_CLOEXEC, 0)), ::closedir);
    if (entries == nullptr) {
      return absl::InternalError("The folder cannot be read.");
    }
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(entries.get())) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") {
        continue;
      }
      if (++entries_ > max_entries_) {
        return FolderRefused("holds more than " + std::to_string(max_entries_) +
                             " files; import it in parts");
      }
      names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::Status Take(int folder, const std::string& label, const std::string& name) {
    struct stat facts = {};
    if (::fstatat(folder, name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0) {
      return absl::OkStatus();  // gone since it was listed
    }
    const std::string path = label.empty() ? name : label + "/" + name;
    if (name.starts_with('.')) {
      set_.Skip();
      return absl::OkStatus();
    }
    if (S_ISLNK(facts.st_mode)) {
      return set_.Refuse(path, "is a link; put the file itself there");
    }
    if (S_ISDIR(facts.st_mode) && label.empty()) {
      const Descriptor inner(OpenBelow(folder, name, O_DIRECTORY));
      return inner.valid() ? Read(inner, name)
                           : set_.Refuse(path, "is a folder that cannot be read");
    }
    if (!S_ISREG(facts.st_mode) || !HasPictureExtension(name)) {
      set_.Skip();
      return absl::OkStatus();
    }
    return TakePicture(folder, path, name);
  }

  absl::Status TakePicture(int folder, const std::string& path, const std::string& name) {
    const absl::StatusOr<PicturePath> parsed = ParsePicturePath(kFolder, path);
    if (!parsed.ok()) {
      return set_.Refuse(path, "has a name that a picture cannot have");
    }
    // Not blocking: a pipe could have taken the file's place.
    const Descriptor file(OpenBelow(folder, name, O_NONBLOCK));
    struct stat facts = {};
    if (!file.valid() || ::fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
      return set_.Refuse(path, "cannot be read");
    }
    std::string bytes;
    const auto block = std::make_unique<char[]>(kBlockBytes);
    for (;;) {
      const ssize_t count = ::read(file.get(), block.get(), kBlockBytes);
      if (count < 0 && errno == EINTR) {
        continue;
      }
      if (count < 0) {
        return set_.Refuse(path, "cannot be read");
      }
      if (count == 0) {
        return set_.Add(*parsed, bytes);
      }
      bytes.append(block.get(), static_cast<std::size_t>(count));
      if (bytes.size() > kMaxImageBytes) {
        return set_.Refuse(path, "is larger than 32 MiB");
      }
    }
  }

  static constexpr std::size_t kBlockBytes = 256 << 10;

  const std::uint64_t max_entries_;
  PictureSet& set_;
  std::uint64_t entries_ = 0;
};

}  // namespace

absl::Status AddFolder(const fs::path& root, const fs::path& below, std::uint64_t max_entries,
                       PictureSet& set) {
  ATELIER_ASSIGN_OR_RETURN(const auto folder, OpenFolder(root, below));
  return FolderReader(max_entries, set).Read(*folder, /*label=*/"");
}

}  // namespace atelier::gather
