// What DecodeImage makes of good files of every kind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/worker/image/decoded.h"
#include "tests/worker/image/sample_files.h"
#include "worker/image/codec.h"
#include "worker/image/mat_tensor.h"

namespace atelier::image {
namespace {

using testing::Channels;
using testing::Decoded;
using ::testing::ElementsAre;
using testing::Exif;
using testing::ExtendedWebpOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Jpeg;
using testing::MaxDifference;
using testing::Pattern;
using testing::Png;
using testing::PngChunk;
using testing::PngLayout;
using testing::PngOf;
using testing::WebpOf;
using testing::WithJpegSegment;

cv::Vec3b PixelAt(const DecodedImage& image, int y, int x) {
  return MatOver(image.rgb).at<cv::Vec3b>(y, x);
}
int AlphaAt(const DecodedImage& image, int y, int x) {
  return MatOver(image.alpha).at<unsigned char>(y, x);
}

TEST(Decode, KeepsThePixelsOfLosslessFilesAtOddSizes) {
  for (const cv::Size size : {cv::Size(16, 16), cv::Size(17, 31), cv::Size(255, 16)}) {
    const cv::Mat pattern = Pattern(size.height, size.width);
    for (const std::string& bytes :
         {PngOf(pattern), WebpOf(pattern), ExtendedWebpOf(pattern, 0, {})}) {
      const DecodedImage image = Decoded(bytes);
      EXPECT_EQ(MaxDifference(MatOver(image.rgb), pattern), 0);
      EXPECT_FALSE(image.alpha.defined());
      EXPECT_THAT(image.warnings, IsEmpty());
    }
  }
}

TEST(Decode, ReadsEveryJpegCodingCloseToItsPicture) {
  const cv::Mat pattern = Pattern(61, 47);
  for (const auto stored : {JCS_YCbCr, JCS_RGB}) {
    for (const bool is_progressive : {false, true}) {
      const DecodedImage image = Decoded(Jpeg(pattern, {.stored = stored,
                                                        .is_progressive = is_progressive,
                                                        .has_adobe_marker = stored == JCS_RGB}));
      EXPECT_EQ(image.format, ImageFormat::kJpeg);
      EXPECT_LE(MaxDifference(MatOver(image.rgb), pattern), 6);
    }
  }
}

TEST(Decode, TurnsGreyIntoRgb) {
  const cv::Mat grey(20, 24, CV_8UC1, cv::Scalar(77));
  EXPECT_EQ(PixelAt(Decoded(Jpeg(grey)), 5, 5), cv::Vec3b(77, 77, 77));
  EXPECT_EQ(PixelAt(Decoded(PngOf(grey)), 5, 5), cv::Vec3b(77, 77, 77));
}

TEST(Decode, ReadsCmykAndYcckWithAndWithoutAdobesInversion) {
  // 20 % cyan, no magenta, full yellow, 40 % black as ideal inks.
  const cv::Scalar ink(51, 0, 255, 102);
  const cv::Vec3b expected(204 * 153 / 255, 153, 0);
  const cv::Mat plain(24, 24, CV_8UC4, ink);
  cv::Mat inverted;
  cv::bitwise_not(plain, inverted);
  for (const std::string& bytes :
       {Jpeg(plain, {.stored = JCS_CMYK}),
        Jpeg(inverted, {.stored = JCS_CMYK, .has_adobe_marker = true}),
        Jpeg(inverted, {.stored = JCS_YCCK, .has_adobe_marker = true}),
        Jpeg(inverted, {.stored = JCS_YCCK, .is_progressive = true, .has_adobe_marker = true})}) {
    const DecodedImage image = Decoded(bytes);
    const cv::Vec3b pixel = PixelAt(image, 10, 10);
    for (int c = 0; c < 3; ++c) {
      EXPECT_NEAR(pixel[c], expected[c], 3);
    }
    EXPECT_THAT(image.warnings, ElementsAre(HasSubstr("CMYK")));
  }
}

TEST(Decode, KeepsAlphaOfPngAndWebp) {
  cv::Mat rgba(20, 18, CV_8UC4, cv::Scalar(10, 20, 30, 255));
  rgba.at<cv::Vec4b>(3, 4) = {200, 100, 50, 128};
  for (const std::string& bytes : {PngOf(rgba), WebpOf(rgba)}) {
    const DecodedImage image = Decoded(bytes);
    ASSERT_TRUE(image.alpha.defined());
    EXPECT_EQ(PixelAt(image, 3, 4), cv::Vec3b(200, 100, 50));
    EXPECT_EQ(AlphaAt(image, 3, 4), 128);
    EXPECT_EQ(AlphaAt(image, 0, 0), 255);
  }
}

TEST(Decode, RoundsSixteenBitsToEight) {
  // 0x80ff is 128.5 / 257 levels above 128 less a hair; 0x017f / 257 = 1.49, 0x0182 / 257 = 1.502.
  std::string row;
  for (int x = 0; x < 16; ++x) {
    row += std::string("\x80\xff\x01\x7f\x01\x82", 6);
  }
  std::string rows;
  for (int y = 0; y < 16; ++y) {
    rows += row;
  }
  EXPECT_EQ(PixelAt(Decoded(Png({16, 16, 16, 2}, rows)), 7, 7), cv::Vec3b(128, 1, 2));
}

TEST(Decode, ReadsGreyAndAlphaInEightAndSixteenBits) {
  std::string eight;
  std::string sixteen;
  for (int i = 0; i < 256; ++i) {
    eight += "\x50\xa0";
    sixteen += std::string("\x50\x50\xa0\xa0", 4);
  }
  for (const DecodedImage& image :
       {Decoded(Png({16, 16, 8, 4}, eight)), Decoded(Png({16, 16, 16, 4}, sixteen))}) {
    EXPECT_EQ(PixelAt(image, 1, 1), cv::Vec3b(0x50, 0x50, 0x50));
    ASSERT_TRUE(image.alpha.defined());
    EXPECT_EQ(AlphaAt(image, 1, 1), 0xa0);
  }
}

TEST(Decode, ReadsPalettesWithAndWithoutTransparency) {
  const std::string palette =
      PngChunk("PLTE", std::string("\xff\0\0\0\xff\0\0\0\xff\x09\x08\x07", 12));
  // Two bits a pixel: colours 0, 1, 2, 3 and again.
  const std::string rows(std::size_t{16} * 4, '\x1b');
  const PngLayout layout{16, 16, 2, 3};
  const DecodedImage opaque = Decoded(Png(layout, rows, palette));
  EXPECT_FALSE(opaque.alpha.defined());
  EXPECT_EQ(PixelAt(opaque, 3, 0), cv::Vec3b(255, 0, 0));
  EXPECT_EQ(PixelAt(opaque, 3, 3), cv::Vec3b(9, 8, 7));
  const DecodedImage clear =
      Decoded(Png(layout, rows, palette + PngChunk("tRNS", std::string("\0\x80", 2))));
  ASSERT_TRUE(clear.alpha.defined());
  EXPECT_EQ(PixelAt(clear, 3, 1), cv::Vec3b(0, 255, 0));
  EXPECT_EQ(AlphaAt(clear, 3, 0), 0);
  EXPECT_EQ(AlphaAt(clear, 3, 1), 128);
  EXPECT_EQ(AlphaAt(clear, 3, 2), 255);
}

TEST(Decode, TurnsTheTransparentShadeOfAPngIntoAlpha) {
  struct Case {
    PngLayout layout;
    std::string rows;
    std::string key;
  };
  const auto repeated = [](const std::string& unit, int times) {
    std::string rows;
    for (int i = 0; i < times; ++i) {
      rows += unit;
    }
    return rows;
  };
  // In each the pixels alternate between the transparent shade and another.
  const Case cases[] = {{{16, 16, 1, 0}, repeated("\xaa", 32), std::string("\0\x01", 2)},
                        {{16, 16, 4, 0}, repeated("s", 128), std::string("\0\x07", 2)},
                        {{16, 16, 8, 0}, repeated("\x7f\x03", 128), std::string("\0\x7f", 2)},
                        {{16, 16, 16, 0}, repeated("\x7f\x01\x7f\x02", 128), "\x7f\x01"},
                        {{16, 16, 8, 2},
                         repeated("\x01\x02\x03\x01\x02\x04", 128),
                         std::string("\0\x01\0\x02\0\x03", 6)},
                        {{16, 16, 16, 2},
                         repeated("\x01\x01\x02\x02\x03\x03\x01\x01\x02\x02\x03\x04", 128),
                         "\x01\x01\x02\x02\x03\x03"}};
  for (const Case& png : cases) {
    SCOPED_TRACE(static_cast<int>(png.layout.depth) * 10 + png.layout.color_type);
    const DecodedImage image = Decoded(Png(png.layout, png.rows, PngChunk("tRNS", png.key)));
    ASSERT_TRUE(image.alpha.defined());
    EXPECT_EQ(AlphaAt(image, 2, 0), 0);
    EXPECT_EQ(AlphaAt(image, 2, 1), 255);
  }
}

TEST(Decode, IgnoresWhatFollowsTheEndOfAFile) {
  const cv::Mat pattern = Pattern(20, 20);
  for (const std::string& bytes : {Jpeg(pattern), PngOf(pattern), WebpOf(pattern)}) {
    EXPECT_LE(MaxDifference(MatOver(Decoded(bytes + "a trailer").rgb), pattern), 6);
  }
}

TEST(Decode, WarnsOfStrayBytesBeforeAJpegsEnd) {
  std::string bytes = Jpeg(Pattern(20, 20));
  bytes.insert(bytes.size() - 2, std::string(40, '\x12'));
  EXPECT_THAT(Decoded(bytes).warnings, ElementsAre(HasSubstr("stray bytes")));
}

// Where the upright picture's pixel (y, x) lies in a picture stored with an EXIF orientation
// (EXIF 2.32, 4.6.4 A).
cv::Point StoredPlace(int orientation, cv::Size stored, int y, int x) {
  const int bottom = stored.height - 1;
  const int right = stored.width - 1;
  switch (orientation) {
    case 2:
      return {right - x, y};
    case 3:
      return {right - x, bottom - y};
    case 4:
      return {x, bottom - y};
    case 5:
      return {y, x};
    case 6:
      return {y, bottom - x};
    case 7:
      return {right - y, bottom - x};
    case 8:
      return {right - y, x};
    default:
      return {x, y};
  }
}

class Orientation : public ::testing::TestWithParam<int> {};

TEST_P(Orientation, IsAppliedInEveryFormat) {
  const int orientation = GetParam();
  const cv::Mat pattern = Pattern(19, 33);
  const cv::Mat rgba = Channels(pattern, {0, 1, 2, 0});
  const std::string tiff = Exif(orientation).substr(6);
  const std::pair<std::string, std::string> files[] = {
      {Jpeg(pattern), WithJpegSegment(Jpeg(pattern), 0xe1, Exif(orientation))},
      {Jpeg(pattern), WithJpegSegment(Jpeg(pattern), 0xe1, Exif(orientation, true))},
      {PngOf(rgba), PngOf(rgba, PngChunk("eXIf", tiff))},
      {WebpOf(rgba), ExtendedWebpOf(rgba, 0x18, {{"EXIF", tiff}})},
      {WebpOf(rgba), ExtendedWebpOf(rgba, 0x18, {{"EXIF", Exif(orientation)}})}};
  for (const auto& [plain, turned] : files) {
    const DecodedImage stored = Decoded(plain);
    const DecodedImage upright = Decoded(turned);
    ASSERT_EQ(upright.rgb.size(0), orientation < 5 ? 19 : 33);
    ASSERT_EQ(upright.rgb.size(1), orientation < 5 ? 33 : 19);
    for (int y = 0; y < upright.rgb.size(0); ++y) {
      for (int x = 0; x < upright.rgb.size(1); ++x) {
        const cv::Point place = StoredPlace(orientation, pattern.size(), y, x);
        ASSERT_EQ(PixelAt(upright, y, x), PixelAt(stored, place.y, place.x));
        if (upright.alpha.defined()) {
          ASSERT_EQ(AlphaAt(upright, y, x), AlphaAt(stored, place.y, place.x));
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Orientation, ::testing::Range(1, 9));

TEST(Decode, TakesAnUnreadableOrientationAsUpright) {
  const cv::Mat pattern = Pattern(19, 33);
  std::string far_directory = Exif(6);
  far_directory.replace(10, 4, "\xff\xff\xff\xff");
  for (const std::string& exif : {Exif(0), Exif(9), far_directory, Exif(6).substr(0, 20),
                                  std::string("Exif\0\0nonsense", 14)}) {
    const DecodedImage image = Decoded(WithJpegSegment(Jpeg(pattern), 0xe1, exif));
    EXPECT_EQ(image.rgb.size(0), 19);
  }
}

}  // namespace
}  // namespace atelier::image
