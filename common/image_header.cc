#include "common/image_header.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "common/byte_order.h"
#include "common/errors.h"

namespace atelier {
namespace {

using std::string_view_literals::operator""sv;

constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n"sv;

absl::Status RefuseImage(const std::string& sentence) { return InvalidField("image", sentence); }

absl::Status CutOff(const char* format) {
  return RefuseImage(std::string("is a ") + format +
                     " file that ends inside its header; send the whole file");
}

absl::Status Contradiction(const char* format, const char* what) {
  return RefuseImage(std::string("has a damaged ") + format + " header (" + what +
                     "); save the picture again");
}

absl::Status Animated(const char* format) {
  return RefuseImage(std::string("is an animated ") + format + "; send a single picture");
}

// The formats that people send by mistake, so that the refusal can name them.
const char* NameOfUnsupportedFormat(std::string_view bytes) {
  if (bytes.starts_with("GIF8")) {
    return "a GIF";
  }
  if (bytes.starts_with("BM")) {
    return "a BMP";
  }
  if (bytes.starts_with("II*\0"sv) || bytes.starts_with("MM\0*"sv)) {
    return "a TIFF";
  }
  if (bytes.starts_with("%PDF")) {
    return "a PDF";
  }
  if (bytes.size() >= 12 && bytes.substr(4, 4) == "ftyp") {
    return "a HEIC, AVIF or video";
  }
  return nullptr;
}

absl::StatusOr<ImageHeader> CheckSides(ImageHeader header) {
  const std::string size =
      "is " + std::to_string(header.width) + " x " + std::to_string(header.height) + " px; ";
  if (header.width > kMaxImageSide || header.height > kMaxImageSide) {
    const std::string most = std::to_string(kMaxImageSide);
    return RefuseImage(size + "at most " + most + " x " + most +
                       " are accepted, send a smaller picture");
  }
  if (header.width < kMinImageSide || header.height < kMinImageSide) {
    const std::string least = std::to_string(kMinImageSide);
    return RefuseImage(size + "at least " + least + " x " + least +
                       " are needed, send a larger picture");
  }
  return header;
}

// --- JPEG: ITU-T T.81, annex B ---

// A start-of-frame segment `frame` without marker and length.
absl::StatusOr<ImageHeader> ReadJpegFrame(std::string_view frame, std::uint32_t marker) {
  // C0..C2: baseline, extended, progressive with Huffman coding; C9, CA: sequential and progressive
  // with arithmetic coding.
  if (marker > 0xc2 && marker != 0xc9 && marker != 0xca) {
    return RefuseImage(
        "is a lossless or hierarchical JPEG; save it as baseline or progressive JPEG");
  }
  if (frame.size() < 6) {
    return Contradiction("JPEG", "a short frame segment");
  }
  const std::uint32_t components = ByteAt(frame, 5);
  if (frame.size() != 6 + 3 * std::size_t{components}) {
    return Contradiction("JPEG", "the frame segment's length is wrong");
  }
  if (ByteAt(frame, 0) != 8) {
    return RefuseImage("is a JPEG with " + std::to_string(ByteAt(frame, 0)) +
                       " bits a sample; save it with 8");
  }
  if (components != 1 && components != 3 && components != 4) {
    return RefuseImage("is a JPEG with " + std::to_string(components) +
                       " channels; save it as RGB, grey or CMYK");
  }
  const ImageHeader header{ImageFormat::kJpeg, static_cast<int>(BigEndian16(frame, 3)),
                           static_cast<int>(BigEndian16(frame, 1))};
  if (header.width == 0 || header.height == 0) {
    return Contradiction("JPEG", "a side of 0 px");
  }
  return CheckSides(header);
}

absl::StatusOr<ImageHeader> ReadJpeg(std::string_view bytes) {
  std::size_t at = 2;
  while (true) {
    if (at + 1 >= bytes.size()) {
      return CutOff("JPEG");
    }
    if (ByteAt(bytes, at) != 0xff) {
      return Contradiction("JPEG", "bytes between two segments");
    }
    const std::uint32_t marker = ByteAt(bytes, at + 1);
    if (marker == 0xff) {  // fill byte
      ++at;
      continue;
    }
    // Below C0 nothing may come before the frame; D0..D9 are restarts, start and end; DA starts a
    // scan, which needs a frame.
    if (marker < 0xc0 || (marker >= 0xd0 && marker <= 0xda)) {
      return Contradiction("JPEG", "no frame before the data");
    }
    if (at + 4 > bytes.size()) {
      return CutOff("JPEG");
    }
    const std::size_t length = BigEndian16(bytes, at + 2);
    if (length < 2) {
      return Contradiction("JPEG", "a segment with an impossible length");
    }
    if (at + 2 + length > bytes.size()) {
      return CutOff("JPEG");
    }
    // C4, C8 and CC share the range of the frame markers but define tables.
    if (marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
      return ReadJpegFrame(bytes.substr(at + 4, length - 2), marker);
    }
    at += 2 + length;
  }
}

// --- PNG: W3C Portable Network Graphics, third edition ---

bool IsPngDepthAllowed(std::uint32_t color_type, std::uint32_t depth) {
  switch (color_type) {
    case 0:  // grey
      return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
    case 3:  // palette
      return depth == 1 || depth == 2 || depth == 4 || depth == 8;
    case 2:  // RGB
    case 4:  // grey and alpha
    case 6:  // RGB and alpha
      return depth == 8 || depth == 16;
    default:
      return false;
  }
}

absl::StatusOr<ImageHeader> ReadPng(std::string_view bytes) {
  constexpr std::size_t kHeaderEnd = 8 + 8 + 13 + 4;
  if (bytes.size() < kHeaderEnd) {
    return CutOff("PNG");
  }
  if (BigEndian32(bytes, 8) != 13 || bytes.substr(12, 4) != "IHDR") {
    return Contradiction("PNG", "it does not begin with IHDR");
  }
  const std::uint32_t width = BigEndian32(bytes, 16);
  const std::uint32_t height = BigEndian32(bytes, 20);
  if (width == 0 || height == 0 || width > 0x7fffffff || height > 0x7fffffff) {
    return Contradiction("PNG", "an impossible size");
  }
  const bool is_method_known =
      ByteAt(bytes, 26) == 0 && ByteAt(bytes, 27) == 0 && ByteAt(bytes, 28) <= 1;
  if (!IsPngDepthAllowed(ByteAt(bytes, 25), ByteAt(bytes, 24)) || !is_method_known) {
    return Contradiction("PNG", "an unknown pixel layout");
  }
  absl::StatusOr<ImageHeader> header =
      CheckSides({ImageFormat::kPng, static_cast<int>(width), static_cast<int>(height)});
  if (!header.ok()) {
    return header;
  }
  std::size_t at = kHeaderEnd;
  while (true) {
    if (at + 8 > bytes.size()) {
      return CutOff("PNG");
    }
    const std::string_view type = bytes.substr(at + 4, 4);
    if (type == "acTL") {
      return Animated("PNG");
    }
    if (type == "IDAT") {
      return header;
    }
    if (type == "IEND" || type == "IHDR") {
      return Contradiction("PNG", "no pixels");
    }
    at += 12 + std::size_t{BigEndian32(bytes, at)};
  }
}

// --- WebP: the WebP container specification; RFC 6386 (VP8), the WebP lossless specification
// (VP8L) ---

// Size from a VP8 or VP8L chunk's own header.
absl::StatusOr<ImageHeader> ReadWebpBitstream(std::string_view type, std::string_view data) {
  ImageHeader header{ImageFormat::kWebp};
  if (type == "VP8 ") {
    if (data.size() < 10) {
      return CutOff("WebP");
    }
    const bool is_key_frame = (ByteAt(data, 0) & 1) == 0;
    if (!is_key_frame || data.substr(3, 3) != "\x9d\x01\x2a"sv) {
      return Contradiction("WebP", "no key frame");
    }
    header.width = static_cast<int>(LittleEndian16(data, 6) & 0x3fff);
    header.height = static_cast<int>(LittleEndian16(data, 8) & 0x3fff);
  } else {
    if (data.size() < 5) {
      return CutOff("WebP");
    }
    const std::uint32_t bits = LittleEndian32(data, 1);
    if (ByteAt(data, 0) != 0x2f || bits >> 29 != 0) {
      return Contradiction("WebP", "an unknown lossless version");
    }
    header.width = static_cast<int>(bits & 0x3fff) + 1;
    header.height = static_cast<int>(bits >> 14 & 0x3fff) + 1;
  }
  if (header.width == 0 || header.height == 0) {
    return Contradiction("WebP", "a side of 0 px");
  }
  return header;
}

absl::StatusOr<ImageHeader> ReadWebp(std::string_view bytes) {
  const std::size_t end = 8 + std::size_t{LittleEndian32(bytes, 4)};
  if (end > bytes.size()) {
    return CutOff("WebP");
  }
  bytes = bytes.substr(0, end);
  ImageHeader canvas{ImageFormat::kWebp};
  for (std::size_t at = 12; at + 8 <= bytes.size();) {
    const std::string_view type = bytes.substr(at, 4);
    const std::size_t length = LittleEndian32(bytes, at + 4);
    if (type == "ANIM" || type == "ANMF") {
      return Animated("WebP");
    }
    const std::string_view data = bytes.substr(at + 8, length);
    if (type == "VP8 " || type == "VP8L") {
      absl::StatusOr<ImageHeader> header = ReadWebpBitstream(type, data);
      if (!header.ok()) {
        return header;
      }
      if (canvas.width != 0 && (canvas.width != header->width || canvas.height != header->height)) {
        return Contradiction("WebP", "two different sizes");
      }
      return CheckSides(*header);
    }
    if (type == "VP8X") {
      if (at != 12 || data.size() < 10) {
        return Contradiction("WebP", "a misplaced or short VP8X chunk");
      }
      if ((ByteAt(data, 0) & 0x02) != 0) {
        return Animated("WebP");
      }
      canvas.width = static_cast<int>(LittleEndian24(data, 4)) + 1;
      canvas.height = static_cast<int>(LittleEndian24(data, 7)) + 1;
      // Before the walk goes on: a canvas that is too large needs no further look.
      if (absl::StatusOr<ImageHeader> checked = CheckSides(canvas); !checked.ok()) {
        return checked;
      }
    }
    at += 8 + length + (length & 1);
  }
  return CutOff("WebP");
}

}  // namespace

absl::StatusOr<ImageHeader> ReadImageHeader(std::string_view bytes) {
  if (bytes.empty()) {
    return RefuseImage("is empty; send the bytes of a JPEG, PNG or WebP file");
  }
  if (bytes.size() > kMaxImageBytes) {
    return RefuseImage("has " + std::to_string(bytes.size()) + " bytes; at most " +
                       std::to_string(kMaxImageBytes) + " (32 MiB) are accepted");
  }
  if (bytes.starts_with("\xff\xd8"sv)) {
    return ReadJpeg(bytes);
  }
  if (bytes.starts_with(kPngSignature)) {
    return ReadPng(bytes);
  }
  if (bytes.size() >= 12 && bytes.starts_with("RIFF") && bytes.substr(8, 4) == "WEBP") {
    return ReadWebp(bytes);
  }
  if (const char* name = NameOfUnsupportedFormat(bytes)) {
    return RefuseImage(std::string("is ") + name + " file; convert it to JPEG, PNG or WebP");
  }
  return RefuseImage("is not a JPEG, PNG or WebP file; convert it to one of these");
}

bool HasPictureExtension(const std::filesystem::path& path) {
  constexpr std::array<std::string_view, 4> kExtensions = {".jpg", ".jpeg", ".png", ".webp"};
  const std::string extension = absl::AsciiStrToLower(path.extension().string());
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

const char* ImageFormatName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return "jpeg";
    case ImageFormat::kPng:
      return "png";
    case ImageFormat::kWebp:
      return "webp";
  }
  return "";
}

}  // namespace atelier
