#include "common/confined_path.h"

#include <algorithm>
#include <string>

#include "common/errors.h"
#include "common/picture_path.h"
#include "common/text.h"

namespace atelier {

absl::Status CheckConfinedPath(std::string_view field, std::string_view path) {
  if (path.size() > kMaxConfinedPath) {
    return InvalidField(field, QuotedName(path) + " is longer than 512 bytes");
  }
  const auto parts = SplitText(path, '/');
  const bool plain = std::ranges::none_of(
      parts, [](std::string_view part) { return part.empty() || part.front() == '.'; });
  // What the pictures' names must fulfil as well: UTF-8, no control characters, no backslash.
  if (!plain || !ParseEntryPath(field, path).ok()) {
    return InvalidField(field, QuotedName(path) +
                                   " must be a relative path of names with one slash between "
                                   "them, none of which begins with a dot");
  }
  return absl::OkStatus();
}

Descriptor OpenBelow(const Descriptor& folder, std::string_view path, int flags) {
  const std::size_t slash = path.find('/');
  const bool last = slash == std::string_view::npos;
  const std::string name(path.substr(0, slash));
  constexpr int kAlways = O_NOFOLLOW | O_CLOEXEC;
  Descriptor next(
      ::openat(folder.get(), name.c_str(),
               kAlways | (last ? flags | O_NONBLOCK : static_cast<int>(O_RDONLY | O_DIRECTORY))));
  if (last || !next.valid()) {
    return next;
  }
  return OpenBelow(next, path.substr(slash + 1), flags);
}

}  // namespace atelier
