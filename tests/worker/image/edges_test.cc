// Drawings made of photographs.
#include "worker/image/edges.h"

#include <gtest/gtest.h>

#include <opencv2/core.hpp>

#include "worker/image/mat_tensor.h"

namespace atelier::image {
namespace {

TEST(DrawEdges, DrawsBlackLinesAroundWhatStandsOut) {
  cv::Mat picture(60, 60, CV_8UC3, cv::Scalar(250, 250, 250));
  picture(cv::Rect(20, 20, 20, 20)).setTo(cv::Scalar(30, 60, 30));
  const at::Tensor drawing = DrawEdges(TensorOver(picture));
  EXPECT_FALSE(IsEmptyDrawing(drawing));
  const cv::Mat& lines = MatOver(drawing);
  EXPECT_EQ(lines.at<cv::Vec3b>(5, 5), cv::Vec3b(255, 255, 255));
  EXPECT_EQ(lines.at<cv::Vec3b>(30, 30), cv::Vec3b(255, 255, 255));
  int black = 0;
  for (int x = 15; x < 25; ++x) {
    black += lines.at<cv::Vec3b>(30, x) == cv::Vec3b(0, 0, 0) ? 1 : 0;
  }
  EXPECT_EQ(black, 1) << "its left border";
}

TEST(DrawEdges, WhatIsCloseToItsBackgroundGivesAnEmptySheet) {
  cv::Mat picture(60, 60, CV_8UC3, cv::Scalar(220, 220, 220));
  picture(cv::Rect(20, 20, 20, 20)).setTo(cv::Scalar(212, 214, 210));
  EXPECT_TRUE(IsEmptyDrawing(DrawEdges(TensorOver(picture))));
}

}  // namespace
}  // namespace atelier::image
