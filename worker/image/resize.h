// Resizing pictures. Pure functions, thread-safe, CPU only.
#pragma once

#include <ATen/core/Tensor.h>

namespace atelier::image {

// Resizes uint8 [H, W, C] or [H, W] to `height` x `width`: area averaging when shrinking, bicubic
// when growing.
at::Tensor Resize(const at::Tensor& image, int height, int width);

struct Size {
  int height = 0;
  int width = 0;
};

// The size with the same aspect ratio whose long side is `long_side`; no side below 1.
Size FitLongSide(Size size, int long_side);
// The same for the short side.
Size FitShortSide(Size size, int short_side);

}  // namespace atelier::image
