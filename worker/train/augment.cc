#include "worker/train/augment.h"

#include <torch/types.h>

#include <cmath>
#include <numbers>
#include <opencv2/imgproc.hpp>

#include "common/check.h"

namespace atelier::train {
namespace {

// A view of the tensor's memory.
cv::Mat MatOf(const at::Tensor& pixels) {
  const int channels = static_cast<int>(pixels.size(2));
  const int type = pixels.scalar_type() == at::kByte ? CV_8UC(channels) : CV_32FC(channels);
  return {static_cast<int>(pixels.size(0)), static_cast<int>(pixels.size(1)), type,
          pixels.data_ptr()};
}

// From a place of the window to the place of the picture whose colour it takes. With c the middle
// of the window, A = rotation · zoom · shear and t the shift, a place p of the picture goes to
// A (p - c) + c + t; this is the way back.
cv::Matx23d Backwards(const Window& window, const Warp& warp) {
  const double radians = warp.angle * std::numbers::pi / 180;
  const double cosine = std::cos(radians) / warp.zoom;
  const double sine = std::sin(radians) / warp.zoom;
  // The inverse of A: first turn and shrink back, then undo the shear.
  const double a = cosine + warp.shear * sine;
  const double b = sine - warp.shear * cosine;
  const double c = -sine;
  const double d = cosine;
  const double middle_x = (window.width - 1) / 2.0;
  const double middle_y = (window.height - 1) / 2.0;
  const double from_x = middle_x + warp.shift_x * window.width;
  const double from_y = middle_y + warp.shift_y * window.height;
  const double mirror = warp.flip ? -1.0 : 1.0;
  return {mirror * a, mirror * b, window.left + middle_x - mirror * (a * from_x + b * from_y),
          c,          d,          window.top + middle_y - (c * from_x + d * from_y)};
}

}  // namespace

bool Warp::IsIdentity() const {
  return angle == 0 && shear == 0 && zoom == 1 && shift_x == 0 && shift_y == 0;
}

Warp DrawWarp(const AugmentConfig& options, KeyedRandom random) {
  const auto within = [&random](double range) { return range * (2 * random.Uniform() - 1); };
  Warp warp;
  warp.flip = random.Below(2) == 1 && options.flip;
  warp.angle = within(options.rotation);
  warp.shear = within(options.shear);
  warp.zoom = 1 + within(options.zoom);
  warp.shift_x = within(options.shift);
  warp.shift_y = within(options.shift);
  return warp;
}

at::Tensor ApplyWarp(const at::Tensor& pixels, const Window& window, const Warp& warp,
                     bool reflect) {
  ATELIER_CHECK(pixels.dim() == 3 && pixels.size(2) <= 4 && warp.zoom > 0);
  ATELIER_CHECK(pixels.scalar_type() == at::kByte || pixels.scalar_type() == at::kFloat);
  ATELIER_CHECK(window.top >= 0 && window.left >= 0 && window.height > 0 && window.width > 0 &&
                window.top + window.height <= pixels.size(0) &&
                window.left + window.width <= pixels.size(1));
  if (warp.IsIdentity()) {
    const at::Tensor part =
        pixels.narrow(0, window.top, window.height).narrow(1, window.left, window.width);
    return warp.flip ? part.flip(1) : part.contiguous();
  }
  const at::Tensor source = pixels.contiguous();
  at::Tensor warped = at::empty({window.height, window.width, pixels.size(2)}, pixels.options());
  cv::Mat target = MatOf(warped);
  cv::warpAffine(MatOf(source), target, Backwards(window, warp), target.size(),
                 cv::INTER_LINEAR | cv::WARP_INVERSE_MAP,
                 reflect ? cv::BORDER_REFLECT_101 : cv::BORDER_REPLICATE);
  return warped;
}

}  // namespace atelier::train
