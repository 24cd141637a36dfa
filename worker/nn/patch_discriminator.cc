#include "worker/nn/patch_discriminator.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "worker/nn/antialias.h"
#include "worker/nn/blocks.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {

PatchDiscriminator::PatchDiscriminator(const Options& options)
    : model_(register_module("model", torch::nn::Sequential())) {
  ATELIER_CHECK(options.in_channels > 0 && options.ndf > 0 && options.layers > 0);
  ConvolutionOptions convolution{
      .in_channels = options.in_channels, .out_channels = options.ndf, .kernel = 4, .padding = 1};
  for (int layer = 0; layer <= options.layers; ++layer) {
    const bool halves = layer < options.layers;
    convolution.stride = halves && !options.antialias ? 2 : 1;
    convolution.bias = layer == 0 || ConvolutionHasBias(options.norm);
    convolution.out_channels = options.ndf * std::min(1 << layer, 8);
    model_->push_back(MakeConvolution(convolution, options.spectral_norm));
    if (layer > 0) {
      model_->push_back(MakeNorm(options.norm, convolution.out_channels));
    }
    model_->push_back(MakeLeakyRelu());
    if (halves && options.antialias) {
      model_->push_back(Downsample(convolution.out_channels));
    }
    convolution.in_channels = convolution.out_channels;
  }
  convolution.out_channels = 1;
  convolution.bias = true;
  model_->push_back(MakeConvolution(convolution, options.spectral_norm));
}

Discriminator::Judgement PatchDiscriminator::Judge(const torch::Tensor& x) {
  return JudgeBySequence(*model_, x);
}

void PatchDiscriminator::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, std::move(random));
}

std::vector<Discriminator::Layer> PatchDiscriminator::Layers() { return LayersOfSequence(*model_); }

}  // namespace atelier::nn
