#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/worker/image/decoded.h"
#include "tests/worker/image/sample_files.h"
#include "worker/image/codec.h"
#include "worker/image/icc.h"
#include "worker/image/mat_tensor.h"

namespace atelier::image {
namespace {

using testing::Decoded;
using testing::Exif;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Jpeg;
using testing::MaxDifference;
using ::testing::Not;
using testing::Pattern;
using testing::WithJpegSegment;

const at::Tensor kNoAlpha;

std::string Encoded(const cv::Mat& rgb, const at::Tensor& alpha, const EncodeOptions& options) {
  absl::StatusOr<std::string> bytes = EncodeImage(TensorOver(rgb), alpha, options);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? *std::move(bytes) : std::string();
}

TEST(Encode, ComesBackInEveryFormatAtOddSizes) {
  for (const cv::Size size : {cv::Size(16, 16), cv::Size(33, 47), cv::Size(130, 17)}) {
    const cv::Mat pattern = Pattern(size.height, size.width);
    for (const ImageFormat format : {ImageFormat::kJpeg, ImageFormat::kPng, ImageFormat::kWebp}) {
      const DecodedImage image = Decoded(Encoded(pattern, kNoAlpha, {.format = format}));
      EXPECT_EQ(image.format, format);
      EXPECT_FALSE(image.alpha.defined());
      EXPECT_THAT(image.warnings, IsEmpty());
      EXPECT_LE(MaxDifference(MatOver(image.rgb), pattern), format == ImageFormat::kPng ? 0 : 16);
    }
  }
}

TEST(Encode, KeepsAlphaInPngAndWebp) {
  const cv::Mat pattern = Pattern(40, 36);
  cv::Mat alpha;
  cv::extractChannel(pattern, alpha, 1);
  for (const ImageFormat format : {ImageFormat::kPng, ImageFormat::kWebp}) {
    const DecodedImage image = Decoded(Encoded(pattern, TensorOver(alpha), {.format = format}));
    ASSERT_TRUE(image.alpha.defined());
    EXPECT_EQ(MaxDifference(MatOver(image.alpha), alpha), 0);
  }
}

TEST(Encode, LaysTransparentPicturesOnWhiteForJpeg) {
  const cv::Mat red(32, 32, CV_8UC3, cv::Scalar(255, 0, 0));
  cv::Mat alpha(32, 32, CV_8UC1, cv::Scalar(0));
  alpha.colRange(16, 32).setTo(128);
  const DecodedImage image = Decoded(Encoded(red, TensorOver(alpha), {}));
  EXPECT_EQ(MatOver(image.rgb).at<cv::Vec3b>(16, 4), cv::Vec3b(255, 255, 255));
  EXPECT_NEAR(MatOver(image.rgb).at<cv::Vec3b>(16, 28)[1], 127, 3);
}

TEST(Encode, TagsSrgbInEveryFormat) {
  const cv::Mat pattern = Pattern(20, 20);
  EXPECT_THAT(Encoded(pattern, kNoAlpha, {.format = ImageFormat::kJpeg}),
              HasSubstr(std::string("ICC_PROFILE\0\1\1", 14) + SrgbProfile()));
  const std::string png = Encoded(pattern, kNoAlpha, {.format = ImageFormat::kPng});
  EXPECT_EQ(png.substr(33, 13), testing::PngChunk("sRGB", std::string(1, '\0')));
  const std::string webp = Encoded(pattern, kNoAlpha, {.format = ImageFormat::kWebp});
  EXPECT_EQ(webp.substr(12, 4), "VP8X");
  EXPECT_EQ(webp.substr(30, 4), "ICCP");
  EXPECT_THAT(webp, HasSubstr(SrgbProfile()));
}

TEST(Encode, StripsExif) {
  const std::string tagged = WithJpegSegment(Jpeg(Pattern(20, 30)), 0xe1, Exif(6) + "GPS position");
  const DecodedImage image = Decoded(tagged);
  for (const ImageFormat format : {ImageFormat::kJpeg, ImageFormat::kPng, ImageFormat::kWebp}) {
    const absl::StatusOr<std::string> bytes =
        EncodeImage(image.rgb, image.alpha, {.format = format});
    ASSERT_TRUE(bytes.ok());
    EXPECT_THAT(*bytes, Not(HasSubstr("GPS")));
    EXPECT_THAT(*bytes, Not(HasSubstr("Exif")));
    EXPECT_EQ(Decoded(*bytes).rgb.sizes(), image.rgb.sizes());
  }
}

TEST(Encode, MakesTheSameBytesEveryTime) {
  const cv::Mat pattern = Pattern(64, 64);
  for (const ImageFormat format : {ImageFormat::kJpeg, ImageFormat::kPng, ImageFormat::kWebp}) {
    EXPECT_EQ(Encoded(pattern, kNoAlpha, {.format = format}),
              Encoded(pattern, kNoAlpha, {.format = format}));
  }
}

TEST(Encode, LowerQualityMakesSmallerFiles) {
  const cv::Mat pattern = Pattern(64, 64);
  for (const ImageFormat format : {ImageFormat::kJpeg, ImageFormat::kWebp}) {
    const std::string low = Encoded(pattern, kNoAlpha, {.format = format, .quality = 20});
    const std::string high = Encoded(pattern, kNoAlpha, {.format = format, .quality = 100});
    EXPECT_LT(low.size(), high.size());
    EXPECT_LE(MaxDifference(MatOver(Decoded(low).rgb), pattern), 40);
  }
}

TEST(Encode, TakesTensorsThatAreNotContiguous) {
  const cv::Mat pattern = Pattern(24, 40);
  const at::Tensor mirrored = TensorOver(pattern).transpose(0, 1);
  const absl::StatusOr<std::string> bytes =
      EncodeImage(mirrored, kNoAlpha, {.format = ImageFormat::kPng});
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(Decoded(*bytes).rgb.equal(mirrored));
}

}  // namespace
}  // namespace atelier::image
