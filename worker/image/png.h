// PNG: the container is checked here, the pixels go through OpenCV. Pure functions, thread-safe;
// cv::Exception may escape.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/image_header.h"
#include "worker/image/raw_image.h"

namespace atelier::image {

// Every colour type and depth; 16 bits are rounded to 8; transparency of every kind becomes
// `alpha`. INVALID_ARGUMENT naming `image`: truncated, a wrong checksum, damaged pixels.
absl::StatusOr<RawImage> DecodePng(std::string_view bytes, const ImageHeader& header);

// `rgb`: CV_8UC3; `alpha`: CV_8UC1 or empty. INTERNAL when the encoder fails.
absl::StatusOr<std::string> EncodePng(const cv::Mat& rgb, const cv::Mat& alpha);

}  // namespace atelier::image
