// The U-Net generator of pix2pix (Isola et al. 2017, arXiv:1611.07004), after Ronneberger et al.
// 2015 (arXiv:1505.04597): parameter names and layout equal UnetGenerator of
// junyanz/pytorch-CycleGAN-and-pix2pix ("model.model.1.model.3.model.1.weight", ...).
#pragma once

#include <vector>

#include "worker/nn/generator.h"
#include "worker/nn/norms.h"

namespace atelier::nn {

class UnetGenerator final : public Generator {
 public:
  struct Options {
    int downs = 8;  // halvings, at least 5: 8 is unet_256, 7 is unet_128
    int ngf = 64;   // channels of the first layer; 64 with 8 downs: 54,413,955 parameters
    NormKind norm = NormKind::kBatch;
    // Zeroes half of the activations of the (downs - 5) innermost doublings but the first, in
    // training mode. (pix2pix keeps it on when it is used; here evaluation mode has none, so that a
    // picture's result is a function of the picture.)
    bool dropout = false;
    // nn::QuantizedConvolution, under the same names, for all halvings but the first; the doublings
    // are transposed and stay. To be made of a trained network by QuantizeWeights, not initialised.
    bool int8 = false;
  };

  explicit UnetGenerator(const Options& options);

  // Sides that 2^downs does not divide are padded: small pictures cost as much as 2^downs pixels a
  // side.
  torch::Tensor forward(const torch::Tensor& x) override;
  void SetDropoutRandom(const std::vector<at::Generator>& randoms) override;
  // Normal(0, 0.02), biases 0; norms: see InitializeNormal.
  void InitializeWeights(at::Generator random) override;

 private:
  int multiple_;
  torch::nn::AnyModule model_;
};

}  // namespace atelier::nn
