// WebP: the container is read and written here, the pixels go through OpenCV. Pure functions,
// thread-safe; cv::Exception may escape.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/image_header.h"
#include "worker/image/raw_image.h"

namespace atelier::image {

// Lossy and lossless, with and without alpha. INVALID_ARGUMENT naming `image`: truncated or
// damaged.
absl::StatusOr<RawImage> DecodeWebp(std::string_view bytes, const ImageHeader& header);

// Lossy. `rgb`: CV_8UC3; `alpha`: CV_8UC1 or empty; `quality`: 1 to 100. INTERNAL when the encoder
// fails.
absl::StatusOr<std::string> EncodeWebp(const cv::Mat& rgb, const cv::Mat& alpha, int quality);

}  // namespace atelier::image
