#include "worker/nn/pixel_discriminator.h"

#include <torch/torch.h>

#include <utility>

#include "common/check.h"
#include "worker/nn/blocks.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {

PixelDiscriminator::PixelDiscriminator(const Options& options)
    : net_(register_module("net", torch::nn::Sequential())) {
  ATELIER_CHECK(options.in_channels > 0 && options.ndf > 0);
  const int ndf = options.ndf;
  const auto push_convolution = [&](int in, int out, bool bias) {
    net_->push_back(
        MakeConvolution({.in_channels = in, .out_channels = out, .kernel = 1, .bias = bias},
                        options.spectral_norm));
  };
  push_convolution(options.in_channels, ndf, /*bias=*/true);
  net_->push_back(MakeLeakyRelu());
  push_convolution(ndf, 2 * ndf, ConvolutionHasBias(options.norm));
  net_->push_back(MakeNorm(options.norm, 2 * ndf));
  net_->push_back(MakeLeakyRelu());
  push_convolution(2 * ndf, 1, ConvolutionHasBias(options.norm));
}

Discriminator::Judgement PixelDiscriminator::Judge(const torch::Tensor& x) {
  return JudgeBySequence(*net_, x);
}

void PixelDiscriminator::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, std::move(random));
}

std::vector<Discriminator::Layer> PixelDiscriminator::Layers() { return LayersOfSequence(*net_); }

}  // namespace atelier::nn
