#include "client/sheet/jpeg.h"

#include <gtest/gtest.h>

namespace atelier::sheet {
namespace {

TEST(SheetJpeg, APictureGoesOutAndInAgain) {
  cv::Mat picture(40, 30, CV_8UC3, cv::Scalar(200, 100, 50));
  picture(cv::Rect(0, 0, 15, 40)).setTo(cv::Scalar(10, 20, 240));
  const auto bytes = EncodeJpeg(picture);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  const auto again = DecodeJpeg(*bytes);
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(again->size(), picture.size());
  EXPECT_NEAR(again->at<cv::Vec3b>(20, 25)[0], 200, 4);
  EXPECT_NEAR(again->at<cv::Vec3b>(20, 5)[2], 240, 4);
}

TEST(SheetJpeg, WhatIsNoWholeJpegIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeJpeg("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeJpeg("no picture").status()));
  const std::string bytes = EncodeJpeg(cv::Mat(64, 64, CV_8UC3, cv::Scalar::all(7))).value();
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeJpeg(bytes.substr(0, bytes.size() / 2)).status()));
}

}  // namespace
}  // namespace atelier::sheet
