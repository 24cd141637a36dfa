// Puts pictures side by side, each with its name below. A pure function, thread-safe.
#pragma once

#include <opencv2/core.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier::sheet {

struct SheetCell {
  std::string label;  // ASCII
  cv::Mat picture;    // uint8 [H, W, 3], BGR
};

struct SheetOptions {
  int columns = 4;
  int cell_side = 384;  // pixels; a picture is scaled to fit, never cropped
};

// The cells from left to right, then from top to bottom, on white.
// INVALID_ARGUMENT: no cell, a cell without a picture, or an option below 1.
absl::StatusOr<cv::Mat> MakeContactSheet(const std::vector<SheetCell>& cells,
                                         const SheetOptions& options);

}  // namespace atelier::sheet
