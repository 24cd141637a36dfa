// Blending, colour keeping and resizing.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/worker/image/sample_files.h"
#include "worker/image/color.h"
#include "worker/image/mat_tensor.h"
#include "worker/image/resize.h"

namespace atelier::image {
namespace {

using testing::MaxDifference;
using testing::Pattern;

cv::Mat Noise(int height, int width, int low, int high) {
  cv::Mat noise(height, width, CV_8UC3);
  cv::RNG random(7);
  random.fill(noise, cv::RNG::UNIFORM, low, high);
  return noise;
}

TEST(Blend, GivesThePhotoAtZeroAndTheStyledPictureAtOne) {
  const at::Tensor photo = TensorOver(Pattern(37, 53));
  const at::Tensor styled = TensorOver(Noise(37, 53, 0, 256));
  EXPECT_TRUE(Blend(photo, styled, 0).equal(photo));
  EXPECT_TRUE(Blend(photo, styled, 1).equal(styled));
}

TEST(Blend, MixesInProportion) {
  const at::Tensor photo = TensorOver(cv::Mat(20, 20, CV_8UC3, cv::Scalar(0, 200, 255)));
  const at::Tensor styled = TensorOver(cv::Mat(20, 20, CV_8UC3, cv::Scalar(100, 100, 255)));
  const at::Tensor mixed = Blend(photo, styled, 0.25F);
  EXPECT_EQ(MatOver(mixed).at<cv::Vec3b>(7, 7), cv::Vec3b(25, 175, 255));
  EXPECT_EQ(Blend(photo, styled, 1e-6F).sizes(), photo.sizes());
}

struct Ycc {
  double y, cb, cr;
};
Ycc ToYcc(const cv::Vec3b& rgb) {
  const double y = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
  return {y, (rgb[2] - y) / 1.772, (rgb[0] - y) / 1.402};
}

TEST(PreserveColor, TakesLumaOfTheStyleAndChromaOfThePhoto) {
  const cv::Mat photo = Noise(41, 29, 90, 140);
  const cv::Mat styled = Pattern(41, 29) / 4 + cv::Scalar(80, 80, 80);
  const at::Tensor mixed = PreserveColor(TensorOver(photo), TensorOver(styled));
  for (int y = 0; y < photo.rows; ++y) {
    for (int x = 0; x < photo.cols; ++x) {
      const Ycc got = ToYcc(MatOver(mixed).at<cv::Vec3b>(y, x));
      const Ycc from_photo = ToYcc(photo.at<cv::Vec3b>(y, x));
      const Ycc from_style = ToYcc(styled.at<cv::Vec3b>(y, x));
      ASSERT_NEAR(got.y, from_style.y, 0.51);
      ASSERT_NEAR(got.cb, from_photo.cb, 0.01);
      ASSERT_NEAR(got.cr, from_photo.cr, 0.01);
    }
  }
}

TEST(PreserveColor, LeavesThePhotoAloneWhenNothingChanged) {
  const at::Tensor photo = TensorOver(Noise(30, 30, 0, 256));
  EXPECT_TRUE(PreserveColor(photo, photo).equal(photo));
}

TEST(PreserveColor, ClampsAtTheEndsOfTheScale) {
  const at::Tensor dark = TensorOver(cv::Mat(16, 16, CV_8UC3, cv::Scalar(10, 0, 0)));
  const at::Tensor light = TensorOver(cv::Mat(16, 16, CV_8UC3, cv::Scalar(255, 255, 255)));
  const at::Tensor black = TensorOver(cv::Mat(16, 16, CV_8UC3, cv::Scalar(0, 0, 0)));
  const at::Tensor lightened = PreserveColor(dark, light);
  const at::Tensor darkened = PreserveColor(light, black);
  EXPECT_EQ(MatOver(lightened).at<cv::Vec3b>(0, 0), cv::Vec3b(255, 252, 252));
  EXPECT_EQ(MatOver(darkened).at<cv::Vec3b>(0, 0), cv::Vec3b(0, 0, 0));
}

TEST(Resize, AveragesWhenShrinking) {
  cv::Mat stripes(40, 40, CV_8UC3, cv::Scalar(0, 0, 0));
  for (int x = 0; x < 40; x += 2) {
    stripes.col(x).setTo(cv::Scalar(100, 100, 100));
  }
  const at::Tensor small = Resize(TensorOver(stripes), 20, 20);
  EXPECT_EQ(MaxDifference(MatOver(small), cv::Mat(20, 20, CV_8UC3, cv::Scalar(50, 50, 50))), 0);
}

TEST(Resize, KeepsASmoothPictureWhicheverWayItGoes) {
  const at::Tensor pattern = TensorOver(Pattern(60, 60));
  const int sizes[][2] = {{120, 120}, {31, 31}, {31, 120}, {120, 31}, {60, 61}};
  for (const auto& [height, width] : sizes) {
    const at::Tensor resized = Resize(pattern, height, width);
    ASSERT_EQ(resized.size(0), height);
    ASSERT_EQ(resized.size(1), width);
    EXPECT_LE(MaxDifference(MatOver(resized), Pattern(height, width)), 6);
  }
  EXPECT_TRUE(Resize(pattern, 60, 60).equal(pattern));
}

TEST(Resize, TakesMasks) {
  const at::Tensor mask = TensorOver(cv::Mat(30, 20, CV_8UC1, cv::Scalar(9)));
  const at::Tensor resized = Resize(mask, 45, 10);
  EXPECT_EQ(resized.dim(), 2);
  EXPECT_EQ(MatOver(resized).at<unsigned char>(44, 9), 9);
}

TEST(Fit, KeepsTheAspectRatio) {
  EXPECT_EQ(FitLongSide({600, 400}, 300).width, 200);
  EXPECT_EQ(FitLongSide({400, 600}, 300).height, 200);
  EXPECT_EQ(FitShortSide({600, 400}, 200).height, 300);
  EXPECT_EQ(FitLongSide({4096, 3}, 16).width, 1);
  EXPECT_EQ(FitLongSide({1000, 667}, 333).width, 222);
}

}  // namespace
}  // namespace atelier::image
