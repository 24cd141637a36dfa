// The one thing that Atelier takes from EXIF: which way is up. Pure functions, thread-safe.
#pragma once

#include <opencv2/core.hpp>
#include <string_view>

namespace atelier::image {

// `tiff`: an EXIF block, with or without its "Exif\0\0" prefix. 1 to 8; 1 (upright) when the tag is
// absent or unreadable.
int ReadExifOrientation(std::string_view tiff);

// Turns a picture stored with `orientation` (1 to 8) upright.
cv::Mat TurnUpright(const cv::Mat& stored, int orientation);

}  // namespace atelier::image
