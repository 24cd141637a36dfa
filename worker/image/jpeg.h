// JPEG through libjpeg-turbo. Pure functions, thread-safe.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/image_header.h"
#include "worker/image/raw_image.h"

namespace atelier::image {

// Grey, RGB, YCbCr, CMYK and YCCK; baseline, progressive, arithmetic. `header` is what
// ReadImageHeader said of `bytes`. INVALID_ARGUMENT naming `image`: truncated, damaged, or built to
// be slow. RESOURCE_EXHAUSTED: out of memory.
absl::StatusOr<RawImage> DecodeJpeg(std::string_view bytes, const ImageHeader& header);

// `rgb`: CV_8UC3, sRGB; `quality`: 1 to 100. INTERNAL when libjpeg fails.
absl::StatusOr<std::string> EncodeJpeg(const cv::Mat& rgb, int quality);

}  // namespace atelier::image
