// Picture files of every kind that the tests need, made in memory.
#pragma once

// jpeglib.h wants FILE and size_t to be known.
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include <jpeglib.h>

#include <opencv2/core.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace atelier::image::testing {

// RGB, smooth, without any symmetry, so that a turned or mirrored copy is told apart.
cv::Mat Pattern(int height, int width);
// The channels of `pixels` that are named, in that order.
cv::Mat Channels(const cv::Mat& pixels, const std::vector<int>& order);
// The largest difference of any two bytes.
double MaxDifference(const cv::Mat& a, const cv::Mat& b);

struct JpegOptions {
  J_COLOR_SPACE stored = JCS_YCbCr;
  bool is_progressive = false;
  bool has_adobe_marker = false;
  int scans = 0;    // above 0: a progressive file with at least so many
  std::string icc;  // as APP2 segments
  int quality = 95;
};
// `pixels`: 1 channel grey, 3 RGB, 4 CMYK exactly as it is to be stored.
std::string Jpeg(const cv::Mat& pixels, const JpegOptions& options = {});
// Puts a segment right after the start marker.
std::string WithJpegSegment(const std::string& jpeg, unsigned char marker, std::string_view data);

struct PngLayout {
  int width = 16;
  int height = 16;
  char depth = 8;
  char color_type = 2;
};
std::string PngChunk(std::string_view type, std::string_view data);
// `rows`: packed pixels without filter bytes. `chunks`: whole chunks between IHDR and IDAT.
std::string Png(const PngLayout& layout, std::string_view rows, std::string_view chunks = {});
// 8-bit RGB or RGBA (as in `pixels`), with chunks before IDAT.
std::string PngOf(const cv::Mat& pixels, std::string_view chunks = {});
std::string IccChunk(std::string_view profile);

using RiffChunks = std::vector<std::pair<std::string, std::string>>;
std::string Webp(const RiffChunks& chunks);
// Lossless; `pixels`: RGB or RGBA.
std::string WebpOf(const cv::Mat& pixels);
// The same in the extended layout, with further chunks ("ICCP", "EXIF"); `flags` as in VP8X.
std::string ExtendedWebpOf(const cv::Mat& pixels, char flags, const RiffChunks& more);

// An EXIF block (little or big endian) that holds only the orientation.
std::string Exif(int orientation, bool is_big_endian = false);

// RGB whose red and green primaries are exchanged: (r, g, b) means (g, r, b) in sRGB. With
// `curve_points` above 0 its curves are tables of that size, which makes it as large as one likes.
std::string SwappedRgbProfile(int curve_points = 0);
std::string SrgbProfileOfLittleCms();
// Grey with a linear curve.
std::string LinearGreyProfile();
// CMYK by a table whose inks print as these light colours: cyan as red, magenta as green, yellow as
// blue, black as black.
std::string OddCmykProfile();

}  // namespace atelier::image::testing
