// What a picture's first bytes say, without decoding it: the server admits by this, the worker
// refuses by it before spending memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "absl/status/statusor.h"

namespace atelier {

enum class ImageFormat { kJpeg, kPng, kWebp };

// Limits of design section 4.
inline constexpr std::uint64_t kMaxImageBytes = 32ull << 20;
inline constexpr int kMinImageSide = 16;
inline constexpr int kMaxImageSide = 4096;

struct ImageHeader {
  ImageFormat format;
  // As stored, before EXIF orientation. Unit: pixels.
  int width = 0;
  int height = 0;
};

// Reads format and size from the leading chunks or segments of `bytes` and applies the limits
// above. INVALID_ARGUMENT naming `image`: empty, over 32 MiB, not JPEG, PNG or WebP, a header that
// is cut off or contradicts itself, a side outside 16..4096, an animated PNG or WebP. Never
// allocates; safe on any bytes.
absl::StatusOr<ImageHeader> ReadImageHeader(std::string_view bytes);

// Whether a file is called like a picture: .jpg, .jpeg, .png or .webp, in any case.
bool HasPictureExtension(const std::filesystem::path& path);

const char* ImageFormatName(ImageFormat format);  // "jpeg", "png", "webp"

}  // namespace atelier
