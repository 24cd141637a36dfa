// The PixelGAN discriminator (Isola et al. 2017, arXiv:1611.07004): judges every pixel by itself,
// its colour only. Parameter names and layout equal PixelDiscriminator of
// junyanz/pytorch-CycleGAN-and-pix2pix ("net.0.weight", ...).
#pragma once

#include "worker/nn/discriminator.h"
#include "worker/nn/norms.h"

namespace atelier::nn {

class PixelDiscriminator final : public Discriminator {
 public:
  struct Options {
    int in_channels = 3;
    int ndf = 64;  // channels of the first layer; 64: 8,705 parameters with kInstance
    NormKind norm = NormKind::kInstance;
    bool spectral_norm = false;  // of every convolution
  };

  explicit PixelDiscriminator(const Options& options);

  // Any size. One map of the picture's size.
  Judgement Judge(const torch::Tensor& x) override;
  // Normal(0, 0.02), biases 0; norms: see InitializeNormal.
  void InitializeWeights(at::Generator random) override;
  // Three.
  std::vector<Layer> Layers() override;

 private:
  torch::nn::Sequential net_;
};

}  // namespace atelier::nn
