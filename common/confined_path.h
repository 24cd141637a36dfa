// Relative paths that another process has told, and files opened by them that stay in their folder.
#pragma once

#include <fcntl.h>

#include <cstddef>
#include <string_view>

#include "absl/status/status.h"
#include "common/posix_file.h"

namespace atelier {

// Unit: bytes.
inline constexpr std::size_t kMaxConfinedPath = 512;

// OK for paths like "checkpoints/step-100/complete": names of UTF-8 without control characters and
// backslashes with one slash between them, none of which begins with a dot (so that none leads out
// of a folder or is hidden), at most kMaxConfinedPath in all and 200 bytes each. Else
// INVALID_ARGUMENT naming `field`.
absl::Status CheckConfinedPath(std::string_view field, std::string_view path);

// Opens `path`, which CheckConfinedPath has passed, below `folder`: one name after the other, so
// that no link is followed, and without waiting for whoever writes into a pipe. `flags` as open(2)
// takes them. An invalid descriptor, with errno, when there is no such file.
Descriptor OpenBelow(const Descriptor& folder, std::string_view path, int flags = O_RDONLY);

}  // namespace atelier
