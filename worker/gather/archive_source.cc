#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <clocale>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "common/errors.h"
#include "common/image_header.h"
#include "common/status_macros.h"
#include "worker/gather/sources.h"

namespace atelier::gather {
namespace {

constexpr char kArchive[] = "archive";
constexpr std::size_t kBlock = 64 << 10;

absl::Status Refused(const std::string& sentence) { return InvalidField(kArchive, sentence); }

// One pass over an archive.
class ArchiveReader final {
 public:
  ArchiveReader(std::uint64_t archive_bytes, std::uint64_t max_entries, PictureSet& set)
      : max_unpacked_(kMaxUnpackRatio * archive_bytes + kFreeUnpackBytes),
        max_entries_(max_entries),
        set_(set),
        archive_(archive_read_new(), archive_read_free) {}

  absl::Status Read(const std::filesystem::path& path) {
    archive* const a = archive_.get();
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_format_tar(a);
    archive_read_support_format_zip(a);
    if (archive_read_open_filename(a, path.c_str(), kBlock) != ARCHIVE_OK) {
      return Damaged();
    }
    for (;;) {
      archive_entry* entry = nullptr;
      const int result = archive_read_next_header(a, &entry);
      if (result == ARCHIVE_EOF) {
        return absl::OkStatus();
      }
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN) {
        return Damaged();
      }
      if (++entries_ > max_entries_) {
        return Refused("has more than " + std::to_string(max_entries_) +
                       " entries; send it in parts");
      }
      ATELIER_RETURN_IF_ERROR(Take(*entry));
    }
  }

 private:
  absl::Status Damaged() const {
    return Refused(entries_ == 0 ? "is neither a tar nor a zip archive, or is damaged"
                                 : "is damaged, or ends too early; pack it again");
  }

  // Nothing but a regular file or a folder, with a name that stays inside.
  static absl::StatusOr<PicturePath> CheckEntry(archive_entry& entry) {
    const char* name = archive_entry_pathname(&entry);
    if (name == nullptr) {
      name = archive_entry_pathname_utf8(&entry);
    }
    if (name == nullptr) {
      return Refused("has an entry whose name is not UTF-8");
    }
    ATELIER_ASSIGN_OR_RETURN(PicturePath path, ParseEntryPath(kArchive, name));
    if (archive_entry_hardlink(&entry) != nullptr || archive_entry_filetype(&entry) == AE_IFLNK) {
      return Refused(QuotedName(name) + " is a link; pack the file itself");
    }
    if (archive_entry_filetype(&entry) != AE_IFREG && archive_entry_filetype(&entry) != AE_IFDIR) {
      return Refused(QuotedName(name) + " is neither a file nor a folder");
    }
    if (archive_entry_is_encrypted(&entry) != 0) {
      return Refused(QuotedName(name) + " is encrypted; pack it without a password");
    }
    return path;
  }

  absl::Status Take(archive_entry& entry) {
    ATELIER_ASSIGN_OR_RETURN(const PicturePath path, CheckEntry(entry));
    if (archive_entry_filetype(&entry) == AE_IFDIR) {
      return absl::OkStatus();
    }
    const bool is_picture = !IsHidden(path) && HasPictureExtension(path.name);
    ATELIER_ASSIGN_OR_RETURN(const std::optional<std::string> bytes, Unpack(is_picture));
    if (!is_picture) {
      set_.Skip();
      return absl::OkStatus();
    }
    if (!bytes.has_value()) {
      return set_.Refuse(path.path().generic_string(), "is larger than 32 MiB");
    }
    return set_.Add(path, *bytes);
  }

  // The entry's bytes; nullopt where they are not wanted or too many for a picture. All are read
  // here and none are skipped, because libarchive would unpack what it skips without counting.
  absl::StatusOr<std::optional<std::string>> Unpack(bool wanted) {
    std::optional<std::string> bytes;
    if (wanted) {
      bytes.emplace();
    }
    for (;;) {
      const la_ssize_t count = archive_read_data(archive_.get(), block_.get(), kBlock);
      if (count < 0) {
        return Damaged();
      }
      if (count == 0) {
        return bytes;
      }
      const auto size = static_cast<std::size_t>(count);
      unpacked_ += size;
      if (unpacked_ > max_unpacked_) {
        return Refused("unpacks to more than " + std::to_string(kMaxUnpackRatio) +
                       " times its size; pictures do not compress that well");
      }
      if (bytes.has_value() && bytes->size() + size > kMaxImageBytes) {
        bytes.reset();
      }
      if (bytes.has_value()) {
        bytes->append(block_.get(), size);
      }
    }
  }

  const std::uint64_t max_unpacked_;
  const std::uint64_t max_entries_;
  PictureSet& set_;
  const std::unique_ptr<archive, int (*)(archive*)> archive_;
  const std::unique_ptr<char[]> block_ = std::make_unique<char[]>(kBlock);
  std::uint64_t entries_ = 0;
  std::uint64_t unpacked_ = 0;
};

}  // namespace

absl::Status AddArchive(const std::filesystem::path& archive, std::uint64_t max_entries,
                        PictureSet& set) {
  // Names pass libarchive as they are only where the locale is UTF-8.
  std::setlocale(LC_CTYPE, "C.UTF-8");
  std::error_code error;
  const std::uint64_t bytes = std::filesystem::file_size(archive, error);
  if (error) {
    return absl::InternalError("The archive cannot be read.");
  }
  return ArchiveReader(bytes, max_entries, set).Read(archive);
}

}  // namespace atelier::gather
