#include "client/sheet/contact_sheet.h"

#include <gtest/gtest.h>

namespace atelier::sheet {
namespace {

SheetCell Cell(int height, int width, const cv::Scalar& colour) {
  return {"label", cv::Mat(height, width, CV_8UC3, colour)};
}

TEST(ContactSheet, KeepsThePicturesAspectRatio) {
  const auto sheet = MakeContactSheet({Cell(50, 200, cv::Scalar(0, 0, 255))}, {.cell_side = 100});
  ASSERT_TRUE(sheet.ok());
  const cv::Vec3b red(0, 0, 255);
  int red_rows = 0;
  for (int y = 0; y < sheet->rows; ++y) {
    red_rows += sheet->at<cv::Vec3b>(y, sheet->cols / 2) == red ? 1 : 0;
  }
  EXPECT_EQ(red_rows, 25);
}

TEST(ContactSheet, StartsANewRowAfterTheLastColumn) {
  const std::vector<SheetCell> cells(5, Cell(10, 10, cv::Scalar::all(0)));
  const auto one_row = MakeContactSheet(cells, {.columns = 5, .cell_side = 40});
  const auto three_rows = MakeContactSheet(cells, {.columns = 2, .cell_side = 40});
  ASSERT_TRUE(one_row.ok() && three_rows.ok());
  EXPECT_GT(one_row->cols, three_rows->cols);
  EXPECT_GT(three_rows->rows, 2 * one_row->rows);
}

TEST(ContactSheet, RefusesWhatItCannotDraw) {
  const std::vector<SheetCell> good = {Cell(8, 8, cv::Scalar::all(0))};
  EXPECT_TRUE(absl::IsInvalidArgument(MakeContactSheet({}, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeContactSheet({{"empty", cv::Mat()}}, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(MakeContactSheet(good, {.columns = 0}).status()));
}

}  // namespace
}  // namespace atelier::sheet
