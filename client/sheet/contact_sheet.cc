#include "client/sheet/contact_sheet.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

namespace atelier::sheet {
namespace {

// Pixels.
constexpr int kMargin = 12;
constexpr int kLabelHeight = 28;

cv::Mat FitInto(const cv::Mat& picture, int side) {
  const double scale = static_cast<double>(side) / std::max(picture.cols, picture.rows);
  const cv::Size size(std::max(1, cvRound(picture.cols * scale)),
                      std::max(1, cvRound(picture.rows * scale)));
  cv::Mat fitted;
  cv::resize(picture, fitted, size, 0, 0, scale < 1 ? cv::INTER_AREA : cv::INTER_CUBIC);
  return fitted;
}

void DrawCell(const SheetCell& cell, int side, cv::Mat canvas) {
  const cv::Mat fitted = FitInto(cell.picture, side);
  fitted.copyTo(canvas(
      cv::Rect((side - fitted.cols) / 2, (side - fitted.rows) / 2, fitted.cols, fitted.rows)));
  cv::putText(canvas, cell.label, cv::Point(0, side + kLabelHeight - 8), cv::FONT_HERSHEY_SIMPLEX,
              0.6, cv::Scalar::all(40), 1, cv::LINE_AA);
}

}  // namespace

absl::StatusOr<cv::Mat> MakeContactSheet(const std::vector<SheetCell>& cells,
                                         const SheetOptions& options) {
  if (cells.empty()) {
    return absl::InvalidArgumentError("a contact sheet needs at least one picture");
  }
  if (options.columns < 1 || options.cell_side < 1) {
    return absl::InvalidArgumentError("columns and cell side must be at least 1");
  }
  for (const SheetCell& cell : cells) {
    if (cell.picture.empty() || cell.picture.type() != CV_8UC3) {
      return absl::InvalidArgumentError("\"" + cell.label + "\" is not an 8-bit colour picture");
    }
  }
  const int count = static_cast<int>(cells.size());
  const int columns = std::min(options.columns, count);
  const int rows = (count + columns - 1) / columns;
  const int width = options.cell_side + kMargin;
  const int height = options.cell_side + kLabelHeight + kMargin;
  cv::Mat sheet(rows * height + kMargin, columns * width + kMargin, CV_8UC3, cv::Scalar::all(255));
  for (int i = 0; i < count; ++i) {
    const cv::Rect place(kMargin + (i % columns) * width, kMargin + (i / columns) * height,
                         options.cell_side, options.cell_side + kLabelHeight);
    DrawCell(cells[i], options.cell_side, sheet(place));
  }
  return sheet;
}

}  // namespace atelier::sheet
