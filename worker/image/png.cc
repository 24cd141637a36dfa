#include "worker/image/png.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "common/byte_order.h"
#include "common/status_macros.h"
#include "worker/image/exif.h"

namespace atelier::image {
namespace {

constexpr std::size_t kSignatureBytes = 8;
constexpr std::size_t kHeaderChunkBytes = 12 + 13;
constexpr std::uint32_t kGreyAlpha = 4;  // a colour type

struct Chunks {
  std::uint32_t bit_depth = 0;
  std::uint32_t color_type = 0;
  // The signature, the critical chunks and tRNS: all that the pixels need, and all that libpng gets
  // to see.
  std::string pixels;
  // Views into the file.
  std::string_view icc;           // iCCP
  std::string_view exif;          // eXIf
  std::string_view transparency;  // tRNS
};

std::uint32_t Crc(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

// Walks the file to its IEND; every byte on the way is under a checksum.
absl::StatusOr<Chunks> WalkChunks(std::string_view bytes) {
  Chunks chunks;
  chunks.bit_depth = ByteAt(bytes, kSignatureBytes + 16);
  chunks.color_type = ByteAt(bytes, kSignatureBytes + 17);
  chunks.pixels.reserve(bytes.size());
  chunks.pixels = bytes.substr(0, kSignatureBytes);
  for (std::size_t at = kSignatureBytes;;) {
    if (at + 12 > bytes.size()) {
      return TruncatedImage("PNG");
    }
    const std::size_t length = BigEndian32(bytes, at);
    if (at + 12 + length > bytes.size()) {
      return TruncatedImage("PNG");
    }
    if (Crc(bytes.substr(at + 4, 4 + length)) != BigEndian32(bytes, at + 8 + length)) {
      return DamagedImage("PNG");
    }
    const std::string_view type = bytes.substr(at + 4, 4);
    const std::string_view data = bytes.substr(at + 8, length);
    const bool is_critical = (ByteAt(type, 0) & 0x20) == 0;  // an upper-case letter
    if (is_critical || type == "tRNS") {
      chunks.pixels.append(bytes.substr(at, 12 + length));
    }
    if (type == "IEND") {
      return chunks;
    }
    if (type == "iCCP") {
      chunks.icc = data;
    } else if (type == "eXIf") {
      chunks.exif = data;
    } else if (type == "tRNS") {
      chunks.transparency = data;
    }
    at += 12 + length;
  }
}

// The profile inside an iCCP chunk (name, zero, method, zlib stream); empty when it is damaged or
// too large.
std::string InflateProfile(std::string_view chunk) {
  const std::size_t name_end = chunk.find('\0');
  if (name_end == std::string_view::npos || name_end + 2 > chunk.size()) {
    return {};
  }
  chunk.remove_prefix(name_end + 2);
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) {
    return {};
  }
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(chunk.data()));
  stream.avail_in = static_cast<uInt>(chunk.size());
  std::string profile;
  std::array<char, 16384> block;
  int result = Z_OK;
  while (result == Z_OK && profile.size() <= kMaxIccProfileBytes) {
    stream.next_out = reinterpret_cast<Bytef*>(block.data());
    stream.avail_out = block.size();
    result = inflate(&stream, Z_NO_FLUSH);
    profile.append(block.data(), block.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  return result == Z_STREAM_END && profile.size() <= kMaxIccProfileBytes ? profile : std::string();
}

// OpenCV drops the one transparent shade that a grey file without alpha channel may name. `grey`:
// as decoded, 8 or 16 bits.
cv::Mat AlphaOfGreyKey(const cv::Mat& grey, const Chunks& chunks) {
  const std::uint32_t key = BigEndian16(chunks.transparency, 0);
  // Depths below 8 were spread over 0..255.
  const std::uint32_t scale = chunks.bit_depth < 8 ? 255 / ((1u << chunks.bit_depth) - 1) : 1;
  cv::Mat alpha;
  cv::compare(grey, cv::Scalar(static_cast<double>(key) * scale), alpha, cv::CMP_NE);
  return alpha;
}

}  // namespace

absl::StatusOr<RawImage> DecodePng(std::string_view bytes, const ImageHeader& header) {
  ATELIER_ASSIGN_OR_RETURN(const Chunks chunks, WalkChunks(bytes));
  const cv::Mat file(1, static_cast<int>(chunks.pixels.size()), CV_8UC1,
                     const_cast<char*>(chunks.pixels.data()));
  cv::Mat decoded = cv::imdecode(file, cv::IMREAD_UNCHANGED);
  if (decoded.cols != header.width || decoded.rows != header.height) {
    return DamagedImage("PNG");  // also when nothing was decoded
  }
  RawImage image;
  if (decoded.channels() == 1 && chunks.transparency.size() == 2) {
    image.alpha = AlphaOfGreyKey(decoded, chunks);
  }
  if (decoded.depth() == CV_16U) {
    decoded.convertTo(decoded, CV_8U, 1.0 / 257);  // rounds
  }
  if (decoded.channels() == 4) {
    cv::extractChannel(decoded, image.alpha, 3);
  }
  if (decoded.channels() == 4 && chunks.color_type == kGreyAlpha) {
    cv::extractChannel(decoded, image.pixels, 0);  // OpenCV made it RGB, its profile is for grey
  } else if (decoded.channels() == 4) {
    cv::cvtColor(decoded, image.pixels, cv::COLOR_BGRA2RGB);
  } else if (decoded.channels() == 3) {
    cv::cvtColor(decoded, image.pixels, cv::COLOR_BGR2RGB);
  } else {
    image.pixels = decoded;
  }
  image.orientation = ReadExifOrientation(chunks.exif);
  if (!chunks.icc.empty()) {
    image.icc_profile = InflateProfile(chunks.icc);
    if (image.icc_profile.empty()) {
      image.warnings.emplace_back(kDamagedProfileWarning);
    }
  }
  return image;
}

absl::StatusOr<std::string> EncodePng(const cv::Mat& rgb, const cv::Mat& alpha) {
  cv::Mat bgr;
  if (alpha.empty()) {
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  } else {
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGRA);
    cv::insertChannel(alpha, bgr, 3);
  }
  std::vector<unsigned char> file;
  if (!cv::imencode(".png", bgr, file)) {
    return absl::InternalError("the PNG encoder failed");
  }
  // sRGB, perceptual intent; it must stand between IHDR and IDAT.
  std::string tag("\0\0\0\1sRGB\0", 9);
  AppendBigEndian32(tag, Crc(std::string_view(tag).substr(4)));
  const auto header_end = file.begin() + kSignatureBytes + kHeaderChunkBytes;
  std::string tagged;
  tagged.reserve(file.size() + tag.size());
  tagged.append(file.begin(), header_end).append(tag).append(header_end, file.end());
  return tagged;
}

}  // namespace atelier::image
