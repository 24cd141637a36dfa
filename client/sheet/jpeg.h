// JPEG in and out of OpenCV's pictures. Pure functions, thread-safe.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace atelier::sheet {

// uint8 [H, W, 3], BGR. INVALID_ARGUMENT: no JPEG, damaged, or of more than 64 million pixels.
absl::StatusOr<cv::Mat> DecodeJpeg(std::string_view bytes);

// `picture`: as above, sides up to 65500; quality 92, colours at full resolution. INTERNAL:
// libjpeg-turbo fails.
absl::StatusOr<std::string> EncodeJpeg(const cv::Mat& picture);

}  // namespace atelier::sheet
