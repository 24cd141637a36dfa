// How a picture gets into a feature network. Pure functions, thread-safe, CPU only.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace atelier::metrics {

struct InputSize {
  std::int64_t height = 0;
  std::int64_t width = 0;
};

// The size with the same aspect ratio whose short side is `short_side`. Halves round to even, as in
// Python.
InputSize FitShortSide(InputSize size, std::int64_t short_side);

// picture: uint8 [H, W, 3]. Returns float32 [1, 3, height, width], values 0 to 255. The filter is
// bicubic and widens when it shrinks, so that nothing aliases: the choice of filter moves such
// metrics more than many a model does (Parmar, Zhang and Zhu 2022, arXiv:2104.11222).
torch::Tensor ToNetworkInput(const torch::Tensor& picture, InputSize size);

}  // namespace atelier::metrics
