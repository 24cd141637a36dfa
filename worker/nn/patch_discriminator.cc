#include "worker/nn/patch_discriminator.h"

#include <torch/torch.h>

#include <algorithm>

#include "common/check.h"
#include "worker/nn/blocks.h"

namespace atelier::nn {
namespace {

torch::nn::Conv2d Convolution(int in, int out, int stride) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 4).stride(stride).padding(1));
}

torch::nn::LeakyReLU Leaky() {
  return torch::nn::LeakyReLU(torch::nn::LeakyReLUOptions().negative_slope(0.2).inplace(true));
}

}  // namespace

PatchDiscriminator::PatchDiscriminator(const Options& options) {
  ATELIER_CHECK(options.in_channels > 0 && options.ndf > 0 && options.layers > 0);
  torch::nn::Sequential model(Convolution(options.in_channels, options.ndf, 2), Leaky());
  int channels = options.ndf;
  for (int layer = 1; layer <= options.layers; ++layer) {
    const int wider = options.ndf * std::min(1 << layer, 8);
    const int stride = layer < options.layers ? 2 : 1;
    model->push_back(Convolution(channels, wider, stride));
    model->push_back(InstanceNorm(wider, false));
    model->push_back(Leaky());
    channels = wider;
  }
  model->push_back(Convolution(channels, 1, 1));
  model_ = register_module("model", model);
}

torch::Tensor PatchDiscriminator::forward(const torch::Tensor& x) { return model_->forward(x); }

void PatchDiscriminator::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, random);
}

}  // namespace atelier::nn
