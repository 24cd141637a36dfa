// A decoded picture before its colours and its orientation are put right: what the format files of
// this folder hand to codec.cc.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace atelier::image {

struct RawImage {
  // CV_8UC1 grey, CV_8UC3 RGB (not OpenCV's BGR) or CV_8UC4 CMYK (0 no ink, 255 full ink).
  cv::Mat pixels;
  cv::Mat alpha;            // CV_8UC1, or empty
  std::string icc_profile;  // or empty
  int orientation = 1;      // EXIF, 1 to 8
  std::vector<std::string> warnings;
};

// An embedded colour profile above this size is ignored; CMYK press profiles have 0.5 to 3 MB.
inline constexpr std::size_t kMaxIccProfileBytes = std::size_t{4} << 20;

inline constexpr char kDamagedProfileWarning[] =
    "the embedded colour profile is damaged and was ignored";

// INVALID_ARGUMENT naming `image`. `format`: "JPEG", "PNG", "WebP".
absl::Status TruncatedImage(const char* format);
absl::Status DamagedImage(const char* format);
// RESOURCE_EXHAUSTED.
absl::Status OutOfMemory();

}  // namespace atelier::image
