// Names of pictures in data sets: "NAME", or "LABEL/NAME" in a folder whose name is the label.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace atelier {

// Of a name, and of a label. Unit: bytes.
inline constexpr std::size_t kMaxPictureName = 200;

// What one data set, and one upload, may hold at most; training takes no more.
inline constexpr std::uint64_t kMaxSetPictures = 200'000;

struct PicturePath {
  std::string label;  // empty: none
  std::string name;

  std::filesystem::path path() const {
    return label.empty() ? std::filesystem::path(name) : std::filesystem::path(label) / name;
  }
};

// A path as strangers write it, of which the last two parts count: "a/b/shirts/x.jpg" is "x.jpg"
// with the label "shirts"; parts that are "." are left out. INVALID_ARGUMENT naming `field`: empty,
// absolute, with "..", a backslash or control characters, not UTF-8, or a part above
// kMaxPictureName. Whether it is called like a picture is not looked at.
absl::StatusOr<PicturePath> ParseEntryPath(std::string_view field, std::string_view path);

// The same, of at most two parts, for a picture that is to be added: INVALID_ARGUMENT also for more
// parts, hidden ones and other extensions than HasPictureExtension knows.
absl::StatusOr<PicturePath> ParsePicturePath(std::string_view field, std::string_view path);

// Whether one of the two is hidden: begins with a dot.
bool IsHidden(const PicturePath& path);

// A name in quotes, short and printable, for messages.
std::string QuotedName(std::string_view name);

}  // namespace atelier
