#include "worker/image/exif.h"

#include <cstddef>
#include <cstdint>

#include "common/byte_order.h"

namespace atelier::image {
namespace {

constexpr std::string_view kExifPrefix("Exif\0\0", 6);
constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr std::uint32_t kShortType = 3;

}  // namespace

int ReadExifOrientation(std::string_view tiff) {
  if (tiff.starts_with(kExifPrefix)) {
    tiff.remove_prefix(kExifPrefix.size());
  }
  if (tiff.size() < 8 || (!tiff.starts_with("II") && !tiff.starts_with("MM"))) {
    return 1;
  }
  const bool is_little = tiff[0] == 'I';
  const auto read16 = [&](std::size_t at) {
    return is_little ? LittleEndian16(tiff, at) : BigEndian16(tiff, at);
  };
  const std::size_t directory = is_little ? LittleEndian32(tiff, 4) : BigEndian32(tiff, 4);
  if (read16(2) != 42 || directory + 2 > tiff.size()) {
    return 1;
  }
  constexpr std::size_t kEntryBytes = 12;
  const std::size_t entries = read16(directory);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t at = directory + 2 + i * kEntryBytes;
    if (at + kEntryBytes > tiff.size()) {
      return 1;
    }
    if (read16(at) == kOrientationTag && read16(at + 2) == kShortType) {
      const auto orientation = static_cast<int>(read16(at + 8));
      return orientation >= 1 && orientation <= 8 ? orientation : 1;
    }
  }
  return 1;
}

cv::Mat TurnUpright(const cv::Mat& stored, int orientation) {
  cv::Mat upright;
  switch (orientation) {
    case 2:
      cv::flip(stored, upright, 1);
      return upright;
    case 3:
      cv::rotate(stored, upright, cv::ROTATE_180);
      return upright;
    case 4:
      cv::flip(stored, upright, 0);
      return upright;
    case 5:
      cv::transpose(stored, upright);
      return upright;
    case 6:
      cv::rotate(stored, upright, cv::ROTATE_90_CLOCKWISE);
      return upright;
    case 7: {
      cv::Mat transposed;
      cv::transpose(stored, transposed);
      cv::rotate(transposed, upright, cv::ROTATE_180);
      return upright;
    }
    case 8:
      cv::rotate(stored, upright, cv::ROTATE_90_COUNTERCLOCKWISE);
      return upright;
    default:
      return stored;
  }
}

}  // namespace atelier::image
