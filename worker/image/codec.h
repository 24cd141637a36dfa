// Encoded pictures ↔ tensors. Pure functions, thread-safe, CPU only. Errors are INVALID_ARGUMENT
// naming `image`, unless said.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/image_header.h"

namespace atelier::image {

struct DecodedImage {
  // uint8 [H, W, 3], sRGB, upright (EXIF orientation applied), contiguous.
  at::Tensor rgb;
  // uint8 [H, W]; undefined when the picture has no alpha channel.
  at::Tensor alpha;
  ImageFormat format = ImageFormat::kJpeg;
  // What was odd but harmless, in sentences for the caller.
  std::vector<std::string> warnings;
};

// Decodes JPEG (libjpeg-turbo; grey, CMYK and YCCK too), PNG and WebP (OpenCV; grey, palette, 16
// bit and alpha too). Formats are told by their first bytes. An embedded ICC profile is converted
// to sRGB; a damaged one is ignored with a warning.
// INVALID_ARGUMENT: everything ReadImageHeader refuses, damaged or truncated data (which libjpeg
// and OpenCV would fill up silently). RESOURCE_EXHAUSTED: out of memory.
absl::StatusOr<DecodedImage> DecodeImage(std::string_view bytes);

struct EncodeOptions {
  ImageFormat format = ImageFormat::kJpeg;
  int quality = 95;  // 1..100, JPEG and WebP; JPEG keeps full colour resolution from 90 on
};

// Encodes rgb uint8 [H, W, 3] and, when defined and the format can hold it, alpha uint8 [H, W];
// tags the file sRGB. JPEG drops alpha after compositing over white. INTERNAL when the encoder
// fails, RESOURCE_EXHAUSTED when memory does.
absl::StatusOr<std::string> EncodeImage(const at::Tensor& rgb, const at::Tensor& alpha,
                                        const EncodeOptions& options);

}  // namespace atelier::image
