#include "worker/image/webp.h"

#include <cstddef>
#include <cstdint>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "common/byte_order.h"
#include "common/status_macros.h"
#include "worker/image/exif.h"
#include "worker/image/icc.h"

namespace atelier::image {
namespace {

constexpr std::size_t kRiffHeaderBytes = 12;  // "RIFF", length, "WEBP"
constexpr char kIccFlag = 0x20;               // in VP8X
constexpr char kAlphaFlag = 0x10;

struct Chunk {
  std::string_view type;
  std::string_view data;
};

// The chunks of a file whose RIFF length ReadImageHeader has checked against its size; views into
// `file`.
absl::StatusOr<std::vector<Chunk>> ReadChunks(std::string_view file) {
  std::vector<Chunk> chunks;
  for (std::size_t at = kRiffHeaderBytes; at < file.size();) {
    if (at + 8 > file.size()) {
      return TruncatedImage("WebP");
    }
    const std::size_t length = LittleEndian32(file, at + 4);
    if (at + 8 + length > file.size()) {
      return TruncatedImage("WebP");
    }
    chunks.push_back({file.substr(at, 4), file.substr(at + 8, length)});
    at += 8 + length + (length & 1);
  }
  return chunks;
}

void AppendChunk(std::string& file, std::string_view type, std::string_view data) {
  file.append(type);
  AppendLittleEndian32(file, static_cast<std::uint32_t>(data.size()));
  file.append(data);
  if (data.size() % 2 != 0) {
    file.push_back('\0');
  }
}

// The encoder's file in the extended layout (WebP container specification), which has room for a
// profile.
std::string AddProfile(const std::vector<Chunk>& chunks, const cv::Size& size, bool has_alpha) {
  std::string canvas(4, '\0');
  canvas[0] = static_cast<char>(kIccFlag | (has_alpha ? kAlphaFlag : 0));
  AppendLittleEndian24(canvas, static_cast<std::uint32_t>(size.width - 1));
  AppendLittleEndian24(canvas, static_cast<std::uint32_t>(size.height - 1));
  std::string body = "WEBP";
  AppendChunk(body, "VP8X", canvas);
  AppendChunk(body, "ICCP", SrgbProfile());
  for (const Chunk& chunk : chunks) {
    if (chunk.type != "VP8X") {
      AppendChunk(body, chunk.type, chunk.data);
    }
  }
  std::string file = "RIFF";
  AppendLittleEndian32(file, static_cast<std::uint32_t>(body.size()));
  return file + body;
}

}  // namespace

absl::StatusOr<RawImage> DecodeWebp(std::string_view bytes, const ImageHeader& header) {
  bytes = bytes.substr(0, 8 + std::size_t{LittleEndian32(bytes, 4)});
  ATELIER_ASSIGN_OR_RETURN(const std::vector<Chunk> chunks, ReadChunks(bytes));
  const cv::Mat file(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<char*>(bytes.data()));
  const cv::Mat decoded = cv::imdecode(file, cv::IMREAD_UNCHANGED);
  if (decoded.cols != header.width || decoded.rows != header.height) {
    return DamagedImage("WebP");  // also when nothing was decoded
  }
  RawImage image;
  if (decoded.channels() == 4) {
    cv::extractChannel(decoded, image.alpha, 3);
    cv::cvtColor(decoded, image.pixels, cv::COLOR_BGRA2RGB);
  } else {
    cv::cvtColor(decoded, image.pixels, cv::COLOR_BGR2RGB);
  }
  for (const Chunk& chunk : chunks) {
    if (chunk.type == "EXIF") {
      image.orientation = ReadExifOrientation(chunk.data);
    } else if (chunk.type == "ICCP" && chunk.data.size() <= kMaxIccProfileBytes) {
      image.icc_profile = chunk.data;
    } else if (chunk.type == "ICCP") {
      image.warnings.emplace_back(kDamagedProfileWarning);
    }
  }
  return image;
}

absl::StatusOr<std::string> EncodeWebp(const cv::Mat& rgb, const cv::Mat& alpha, int quality) {
  cv::Mat bgr;
  if (alpha.empty()) {
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGR);
  } else {
    cv::cvtColor(rgb, bgr, cv::COLOR_RGB2BGRA);
    cv::insertChannel(alpha, bgr, 3);
  }
  std::vector<unsigned char> file;
  if (!cv::imencode(".webp", bgr, file, {cv::IMWRITE_WEBP_QUALITY, quality})) {
    return absl::InternalError("the WebP encoder failed");
  }
  ATELIER_ASSIGN_OR_RETURN(
      const std::vector<Chunk> chunks,
      ReadChunks(std::string_view(reinterpret_cast<const char*>(file.data()), file.size())));
  return AddProfile(chunks, rgb.size(), !alpha.empty());
}

}  // namespace atelier::image
