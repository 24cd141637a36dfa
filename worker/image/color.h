// The two controls every restyling model has. Pure functions, thread-safe, CPU only.
#pragma once

#include <ATen/core/Tensor.h>

namespace atelier::image {

// photo and styled: uint8 [H, W, 3] of equal size. Returns photo + strength * (styled - photo),
// rounded; strength 0 returns the photo's bytes, 1 the styled ones.
at::Tensor Blend(const at::Tensor& photo, const at::Tensor& styled, float strength);

// Takes the luma of `styled` and the chroma of `photo` (BT.601 YCbCr), both uint8 [H, W, 3] of
// equal size.
at::Tensor PreserveColor(const at::Tensor& photo, const at::Tensor& styled);

}  // namespace atelier::image
