#include "common/picture_path.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "common/errors.h"
#include "common/image_header.h"
#include "common/printable.h"
#include "common/status_macros.h"

namespace atelier {
namespace {

constexpr std::size_t kMaxPath = 4096;

// The parts of a path that stays where it is.
absl::StatusOr<std::vector<std::string>> Parts(std::string_view field, std::string_view path) {
  const std::string quoted = QuotedName(path);
  if (path.empty() || path.size() > kMaxPath) {
    return InvalidField(field, path.empty() ? "has a file without a name"
                                            : quoted + " is a longer path than 4096 bytes");
  }
  if (!IsPrintable(path)) {
    return InvalidField(field, quoted +
                                   " is not a name: use UTF-8 without control characters for files "
                                   "and folders");
  }
  if (path.front() == '/' || path.find('\\') != std::string_view::npos) {
    return InvalidField(field, quoted +
                                   " is not a relative path with \"/\" between its parts; pack the "
                                   "folder's contents, not the whole path");
  }
  std::vector<std::string> parts;
  for (const std::string& part :
       std::vector<std::string>(absl::StrSplit(absl::string_view(path.data(), path.size()), '/'))) {
    if (part == "..") {
      return InvalidField(field, quoted + " leads out of its folder; names must not hold \"..\"");
    }
    if (part.size() > kMaxPictureName) {
      return InvalidField(field, quoted + " has a name longer than 200 bytes; shorten it");
    }
    if (!part.empty() && part != ".") {
      parts.emplace_back(part);
    }
  }
  return parts;
}

}  // namespace

absl::StatusOr<PicturePath> ParseEntryPath(std::string_view field, std::string_view path) {
  ATELIER_ASSIGN_OR_RETURN(std::vector<std::string> parts, Parts(field, path));
  PicturePath result;
  if (!parts.empty()) {
    result.name = std::move(parts.back());
  }
  if (parts.size() > 1) {
    result.label = std::move(parts[parts.size() - 2]);
  }
  return result;
}

absl::StatusOr<PicturePath> ParsePicturePath(std::string_view field, std::string_view path) {
  ATELIER_ASSIGN_OR_RETURN(PicturePath picture, ParseEntryPath(field, path));
  const auto slashes = std::count(path.begin(), path.end(), '/');
  if (picture.name.empty() || slashes > 1 || picture.path() != path) {
    return InvalidField(field, QuotedName(path) + R"( must be "NAME" or "LABEL/NAME")");
  }
  if (IsHidden(picture)) {
    return InvalidField(field, QuotedName(path) + " is hidden; names must not begin with a dot");
  }
  if (!HasPictureExtension(picture.name)) {
    return InvalidField(field, QuotedName(path) +
                                   " is not called like a picture; it must end in .jpg, .jpeg, "
                                   ".png or .webp");
  }
  return picture;
}

bool IsHidden(const PicturePath& path) {
  return path.name.starts_with('.') || path.label.starts_with('.');
}

std::string QuotedName(std::string_view name) {
  constexpr std::size_t kShown = 100;
  std::string text(name.substr(0, kShown));
  // What is fine as it is stays readable, unless the cut went through a character.
  if (!IsPrintable(text)) {
    text = absl::CHexEscape(text);
  }
  return "\"" + text + (name.size() > kShown ? "…\"" : "\"");
}

}  // namespace atelier
