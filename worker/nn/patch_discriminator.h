// The PatchGAN discriminator (Isola et al. 2017, arXiv:1611.07004): judges overlapping patches,
// 70x70 pixels with three layers. Parameter names and layout equal NLayerDiscriminator of
// junyanz/pytorch-CycleGAN-and-pix2pix with norm=instance.
#pragma once

#include <torch/nn/modules/container/sequential.h>

namespace atelier::nn {

class PatchDiscriminator final : public torch::nn::Module {
 public:
  struct Options {
    int in_channels = 3;
    int ndf = 64;    // channels of the first layer
    int layers = 3;  // 3: 2,764,737 parameters
  };

  explicit PatchDiscriminator(const Options& options);

  // x: float [N, in_channels, H, W] in [-1, 1], H and W >= 32. Returns one logit a patch, [N, 1, h,
  // w]; 256x256 gives 30x30.
  torch::Tensor forward(const torch::Tensor& x);

  // Normal(0, 0.02), biases 0, from `random` (a CPU generator).
  void InitializeWeights(at::Generator random);

 private:
  torch::nn::Sequential model_;
};

}  // namespace atelier::nn
