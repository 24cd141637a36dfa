// The PatchGAN discriminator (Isola et al. 2017, arXiv:1611.07004): judges overlapping patches,
// 70x70 pixels with three layers. Parameter names and layout equal NLayerDiscriminator of
// junyanz/pytorch-CycleGAN-and-pix2pix, with antialias of
// taesungp/contrastive-unpaired-translation.
#pragma once

#include "worker/nn/discriminator.h"
#include "worker/nn/norms.h"

namespace atelier::nn {

class PatchDiscriminator final : public Discriminator {
 public:
  struct Options {
    int in_channels = 3;
    int ndf = 64;    // channels of the first layer
    int layers = 3;  // 3: 2,764,737 parameters
    NormKind norm = NormKind::kInstance;
    // Of every convolution (worker/nn/spectral_norm.h); usually without another norm.
    bool spectral_norm = false;
    // Halves by nn::Downsample (buffers "filt") instead of strides: CUT's layout.
    bool antialias = false;
  };

  explicit PatchDiscriminator(const Options& options);

  // H and W >= 32 with three layers, twice as much with each further. 256x256 gives one map of
  // 30x30.
  Judgement Judge(const torch::Tensor& x) override;
  // Normal(0, 0.02), biases 0; norms: see InitializeNormal.
  void InitializeWeights(at::Generator random) override;
  // layers + 2 of them.
  std::vector<Layer> Layers() override;

 private:
  torch::nn::Sequential model_;
};

}  // namespace atelier::nn
