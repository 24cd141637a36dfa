#include "worker/image/resize.h"

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "common/check.h"
#include "worker/image/mat_tensor.h"

namespace atelier::image {
namespace {

Size ScaledTo(Size size, int from, int to) {
  const double scale = static_cast<double>(to) / from;
  const auto scaled = [scale](int side) {
    return std::max(1, static_cast<int>(std::lround(side * scale)));
  };
  return {scaled(size.height), scaled(size.width)};
}

}  // namespace

at::Tensor Resize(const at::Tensor& image, int height, int width) {
  ATELIER_CHECK(height > 0 && width > 0);
  const at::Tensor contiguous = image.contiguous();
  cv::Mat resized = MatOver(contiguous);
  // Area averaging is defined for shrinking only, so a picture that grows on one side is first
  // shrunk on the other.
  const cv::Size shrunk(std::min(width, resized.cols), std::min(height, resized.rows));
  if (shrunk != resized.size()) {
    cv::Mat smaller;
    cv::resize(resized, smaller, shrunk, 0, 0, cv::INTER_AREA);
    resized = smaller;
  }
  if (const cv::Size grown(width, height); grown != resized.size()) {
    cv::Mat larger;
    cv::resize(resized, larger, grown, 0, 0, cv::INTER_CUBIC);
    resized = larger;
  }
  return resized.data == contiguous.data_ptr() ? contiguous : TensorOver(resized);
}

Size FitLongSide(Size size, int long_side) {
  return ScaledTo(size, std::max(size.height, size.width), long_side);
}

Size FitShortSide(Size size, int short_side) {
  return ScaledTo(size, std::min(size.height, size.width), short_side);
}

}  // namespace atelier::image
