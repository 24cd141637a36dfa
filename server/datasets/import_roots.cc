#include "server/datasets/import_roots.h"

#include <string>
#include <system_error>

#include "common/errors.h"
#include "common/image_header.h"
#include "common/picture_path.h"
#include "common/status_macros.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;

// Whether a part of the way, but for the root itself, is a link.
bool LeadsThroughLink(const fs::path& root, const fs::path& below) {
  fs::path walked = root;
  for (const fs::path& part : below) {
    walked /= part;
    std::error_code error;
    if (fs::is_symlink(walked, error)) {
      return true;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<fs::path> FindImportRoot(const std::vector<fs::path>& roots,
                                        std::string_view folder) {
  if (folder.empty()) {
    return InvalidField("folder", R"(a path below one of the roots is required; "." is a root)");
  }
  ATELIER_RETURN_IF_ERROR(ParseEntryPath("folder", folder).status());
  if (roots.empty()) {
    return absl::FailedPreconditionError(
        "this server imports no folders: its operator can allow some with --dataset-import-root");
  }
  for (const fs::path& root : roots) {
    std::error_code error;
    if (LeadsThroughLink(root, folder)) {
      return InvalidField("folder", "is, or lies behind, a link; name a real folder");
    }
    if (fs::is_directory(root / folder, error)) {
      return root;
    }
  }
  return NotFoundResource("folder", folder,
                          "no import root of this server has the folder " + QuotedName(folder));
}

std::uint64_t PictureBytesIn(const fs::path& folder, std::uint64_t max_files) {
  std::uint64_t bytes = 0;
  std::uint64_t entries = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end;
       !error && it != end && entries < max_files; it.increment(error)) {
    ++entries;
    std::error_code gone;
    if (it.depth() > 0) {
      it.disable_recursion_pending();
    }
    if (HasPictureExtension(it->path()) && fs::is_regular_file(it->symlink_status(gone))) {
      const std::uintmax_t size = it->file_size(gone);
      bytes += gone ? 0 : size;
    }
  }
  return bytes;
}

}  // namespace atelier::server
