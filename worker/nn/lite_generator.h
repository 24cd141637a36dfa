// A small generator for CPUs and video: two strided convolutions, residual blocks of depthwise
// convolutions in the manner of ConvNeXt (Liu et al. 2022, arXiv:2201.03545) with instance norm,
// and upsampling by nearest neighbour + convolution (Odena et al. 2016).
#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>

#include "worker/nn/blocks.h"
#include "worker/nn/generator.h"

namespace atelier::nn {

class LiteGenerator final : public Generator {
 public:
  // With the defaults: 201,547 parameters and a buffer of noise.
  struct Options {
    int stem_channels = 24;  // at half size
    int channels = 96;       // of the blocks, at a quarter of the size
    int blocks = 6;
    int block_kernel = 5;
    int expansion = 128;     // channels inside a block
    int up_channels = 32;    // at half size
    int head_channels = 12;  // at full size
  };

  explicit LiteGenerator(const Options& options);

  torch::Tensor forward(const torch::Tensor& x) override;
  // Kaiming normal (He et al. 2015); the blocks start halved and the head near zero, so that
  // training starts near the picture.
  void InitializeWeights(at::Generator random) override;

 private:
  torch::Tensor NoiseLike(const torch::Tensor& features);

  ConvNormRelu stem_;
  ConvNormRelu down_;
  torch::nn::Conv2d noise_;
  torch::Tensor noise_tile_;  // [1, 8, 64, 64]
  torch::nn::ModuleList blocks_;
  torch::nn::Conv2d reduce_;
  ConvNormRelu up_;
  torch::nn::Conv2d shrink_;
  torch::nn::Conv2d head_;
};

}  // namespace atelier::nn
