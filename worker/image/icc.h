// Colour profiles (ICC.1) through Little CMS. Thread-safe; equal bytes in give equal pixels out.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace atelier::image {

// Pixels of RawImage's kinds (grey, RGB, CMYK) → sRGB CV_8UC3, perceptual intent. A profile that
// means sRGB leaves RGB as it is. INVALID_ARGUMENT, with a sentence for the caller's warnings: the
// profile is damaged, or is for another kind of picture.
absl::StatusOr<cv::Mat> ConvertToSrgb(const cv::Mat& pixels, std::string_view profile);

// The same where no profile says better: grey and RGB are taken as sRGB, CMYK as ideal inks.
cv::Mat AssumeSrgb(const cv::Mat& pixels);

// A compact sRGB profile to tag files with; the same bytes in every process.
const std::string& SrgbProfile();

}  // namespace atelier::image
