// Embedded colour profiles.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/worker/image/decoded.h"
#include "tests/worker/image/sample_files.h"
#include "worker/image/codec.h"
#include "worker/image/icc.h"
#include "worker/image/mat_tensor.h"
#include "worker/image/raw_image.h"

namespace atelier::image {
namespace {

using ::testing::Contains;
using testing::Decoded;
using ::testing::ElementsAre;
using testing::ExtendedWebpOf;
using ::testing::HasSubstr;
using testing::IccChunk;
using ::testing::IsEmpty;
using testing::Jpeg;
using testing::LinearGreyProfile;
using testing::MaxDifference;
using testing::OddCmykProfile;
using testing::Pattern;
using testing::PngChunk;
using testing::PngOf;
using testing::SrgbProfileOfLittleCms;
using testing::SwappedRgbProfile;

constexpr char kIccFlag = 0x20;

cv::Mat RedAndGreenExchanged(const cv::Mat& rgb) { return testing::Channels(rgb, {1, 0, 2}); }

TEST(Profile, IsConvertedToSrgbInEveryFormat) {
  const cv::Mat pattern = Pattern(32, 40);
  const cv::Mat expected = RedAndGreenExchanged(pattern);
  const std::string profile = SwappedRgbProfile();
  for (const std::string& bytes :
       {PngOf(pattern, IccChunk(profile)), ExtendedWebpOf(pattern, kIccFlag, {{"ICCP", profile}}),
        Jpeg(pattern, {.icc = profile})}) {
    const DecodedImage image = Decoded(bytes);
    EXPECT_LE(MaxDifference(MatOver(image.rgb), expected), 6);
    EXPECT_THAT(image.warnings, IsEmpty());
  }
}

TEST(Profile, OfSeveralJpegSegmentsIsJoined) {
  const cv::Mat pattern = Pattern(32, 40);
  const std::string profile = SwappedRgbProfile(30000);
  ASSERT_GT(profile.size(), std::size_t{65536});
  const DecodedImage image = Decoded(Jpeg(pattern, {.icc = profile}));
  EXPECT_LE(MaxDifference(MatOver(image.rgb), RedAndGreenExchanged(pattern)), 6);
}

TEST(Profile, ThatMeansSrgbLeavesTheBytesAlone) {
  const cv::Mat pattern = Pattern(32, 40);
  for (const std::string& profile : {SrgbProfileOfLittleCms(), SrgbProfile()}) {
    const DecodedImage image = Decoded(PngOf(pattern, IccChunk(profile)));
    EXPECT_EQ(MaxDifference(MatOver(image.rgb), pattern), 0);
  }
}

// A profile that means sRGB is remembered; what is remembered must not leak to others.
TEST(Profile, ThatIsRememberedDecidesOnlyForItself) {
  const cv::Mat pattern = Pattern(32, 40);
  const cv::Mat grey(16, 16, CV_8UC1, cv::Scalar(77));
  const cv::Mat cyan(24, 24, CV_8UC4, cv::Scalar(255, 0, 0, 0));
  for (int round = 0; round < 2; ++round) {
    const DecodedImage same = Decoded(PngOf(pattern, IccChunk(SrgbProfile())));
    EXPECT_EQ(MaxDifference(MatOver(same.rgb), pattern), 0);
    EXPECT_THAT(same.warnings, IsEmpty());
    const DecodedImage shade = Decoded(PngOf(grey, IccChunk(SrgbProfile())));
    EXPECT_EQ(MatOver(shade.rgb).at<cv::Vec3b>(3, 3), cv::Vec3b(77, 77, 77));
    const DecodedImage ink = Decoded(Jpeg(cyan, {.stored = JCS_CMYK, .icc = SrgbProfile()}));
    EXPECT_THAT(ink.warnings, Contains(HasSubstr("another kind of picture")));
    const DecodedImage swapped = Decoded(PngOf(pattern, IccChunk(SwappedRgbProfile())));
    EXPECT_GT(MaxDifference(MatOver(swapped.rgb), pattern), 6);
    // More than are kept.
    for (std::size_t i = 0; i < 20; ++i) {
      const std::string padded = SrgbProfileOfLittleCms() + std::string(4 * i, '\0');
      EXPECT_EQ(MaxDifference(MatOver(Decoded(PngOf(pattern, IccChunk(padded))).rgb), pattern), 0);
    }
  }
}

TEST(Profile, OfGreyIsConverted) {
  const cv::Mat grey(16, 16, CV_8UC1, cv::Scalar(128));
  const DecodedImage image = Decoded(PngOf(grey, IccChunk(LinearGreyProfile())));
  // Half of the light is 188 in sRGB.
  EXPECT_NEAR(MatOver(image.rgb).at<cv::Vec3b>(0, 0)[1], 188, 1);
  EXPECT_THAT(image.warnings, IsEmpty());
  const std::string grey_and_alpha(std::size_t{16} * 16 * 2, '\x80');
  const DecodedImage clear =
      Decoded(testing::Png({16, 16, 8, 4}, grey_and_alpha, IccChunk(LinearGreyProfile())));
  EXPECT_NEAR(MatOver(clear.rgb).at<cv::Vec3b>(0, 0)[1], 188, 1);
  EXPECT_EQ(MatOver(clear.alpha).at<unsigned char>(0, 0), 128);
}

TEST(Profile, OfCmykIsConverted) {
  // Full cyan ink, which this profile prints red.
  const cv::Mat cyan(24, 24, CV_8UC4, cv::Scalar(255, 0, 0, 0));
  cv::Mat inverted;
  cv::bitwise_not(cyan, inverted);
  const std::string profile = OddCmykProfile();
  for (const std::string& bytes :
       {Jpeg(cyan, {.stored = JCS_CMYK, .icc = profile}),
        Jpeg(inverted, {.stored = JCS_YCCK, .has_adobe_marker = true, .icc = profile})}) {
    const DecodedImage image = Decoded(bytes);
    const cv::Vec3b pixel = MatOver(image.rgb).at<cv::Vec3b>(9, 9);
    EXPECT_GE(pixel[0], 245);
    EXPECT_LE(pixel[1], 12);
    EXPECT_LE(pixel[2], 12);
    EXPECT_THAT(image.warnings, IsEmpty());
  }
}

TEST(Profile, ThatIsDamagedIsIgnoredWithAWarning) {
  const cv::Mat pattern = Pattern(32, 40);
  const std::string half = SwappedRgbProfile().substr(0, 200);
  const std::string large = SwappedRgbProfile() + std::string(kMaxIccProfileBytes, 'x');
  for (const std::string& bytes :
       {PngOf(pattern, IccChunk("not a profile")), PngOf(pattern, IccChunk(half)),
        PngOf(pattern, IccChunk(large)), PngOf(pattern, PngChunk("iCCP", "no stream in here")),
        ExtendedWebpOf(pattern, kIccFlag, {{"ICCP", half}}),
        ExtendedWebpOf(pattern, kIccFlag, {{"ICCP", large}})}) {
    const DecodedImage image = Decoded(bytes);
    EXPECT_EQ(MaxDifference(MatOver(image.rgb), pattern), 0);
    EXPECT_THAT(image.warnings, ElementsAre(HasSubstr("profile is damaged")));
  }
  const std::string with_gap =
      testing::WithJpegSegment(Jpeg(pattern), 0xe2, std::string("ICC_PROFILE\0\2\2abc", 17));
  for (const std::string& bytes : {Jpeg(pattern, {.icc = half}), with_gap}) {
    const DecodedImage image = Decoded(bytes);
    EXPECT_LE(MaxDifference(MatOver(image.rgb), pattern), 6);
    EXPECT_THAT(image.warnings, ElementsAre(HasSubstr("profile is damaged")));
  }
}

TEST(Profile, OfAnotherKindOfPictureIsIgnoredWithAWarning) {
  const cv::Mat pattern = Pattern(32, 40);
  const DecodedImage image = Decoded(PngOf(pattern, IccChunk(LinearGreyProfile())));
  EXPECT_EQ(MaxDifference(MatOver(image.rgb), pattern), 0);
  EXPECT_THAT(image.warnings, ElementsAre(HasSubstr("another kind of picture")));
}

TEST(Profile, OfOursHasNoTimeOfDayInIt) {
  EXPECT_EQ(SrgbProfile().substr(24, 12), std::string("\x07\xd0\0\x01\0\x01\0\0\0\0\0\0", 12));
  EXPECT_LT(SrgbProfile().size(), std::size_t{1024});
}

}  // namespace
}  // namespace atelier::image
