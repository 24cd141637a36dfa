#include "worker/nn/dcgan.h"

#include <torch/torch.h>

#include <bit>
#include <utility>

#include "common/check.h"
#include "worker/nn/blocks.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {
namespace {

// How often 4 pixels are doubled until half of `side` is reached.
int DcganDoublings(int side) {
  ATELIER_CHECK(side == 64 || side == 128 || side == 256);
  return static_cast<int>(std::bit_width(static_cast<unsigned>(side))) - 4;
}

// The whole batch at once: picture by picture (nn::UpConv) costs seven times as much at 4x4 pixels
// of 512 channels. PatternGenerator::Generate gives what serving needs.
torch::nn::ConvTranspose2d TransposedConvolution(int in, int out, int stride, int padding) {
  return torch::nn::ConvTranspose2d(
      torch::nn::ConvTranspose2dOptions(in, out, 4).stride(stride).padding(padding).bias(false));
}

void PushDoubling(torch::nn::SequentialImpl& main, int in, int out, bool resize) {
  if (resize) {
    main.push_back(ResizeConv(in, out, /*with_bias=*/false));
  } else {
    main.push_back(TransposedConvolution(in, out, /*stride=*/2, /*padding=*/1));
  }
}

void PushNormRelu(torch::nn::SequentialImpl& main, int channels) {
  main.push_back(MakeNorm(NormKind::kBatch, channels));
  main.push_back(torch::nn::ReLU(true));
}

}  // namespace

DcganGenerator::DcganGenerator(const Options& options)
    : PatternGenerator({.latent_size = options.latent_size, .side = options.side},
                       options.condition),
      main_(register_module("main", torch::nn::Sequential())) {
  ATELIER_CHECK(options.ngf > 0);
  int channels = options.ngf << DcganDoublings(options.side);
  main_->push_back(TransposedConvolution(joined_size(), channels, /*stride=*/1, /*padding=*/0));
  PushNormRelu(*main_, channels);
  for (; channels > options.ngf; channels /= 2) {
    PushDoubling(*main_, channels, channels / 2, options.resize_convolution);
    PushNormRelu(*main_, channels / 2);
  }
  PushDoubling(*main_, channels, 3, options.resize_convolution);
  main_->push_back(torch::nn::Tanh());
}

torch::Tensor DcganGenerator::forward(const torch::Tensor& z, const torch::Tensor& condition) {
  return main_->forward(JoinCondition(z, condition).unsqueeze(2).unsqueeze(3));
}

void DcganGenerator::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, random);
  InitializeCondition(random);
}

DcganDiscriminator::DcganDiscriminator(const Options& options)
    : PatternDiscriminator({.entries = options.condition_entries,
                            .size = options.ndf << DcganDoublings(options.side),
                            .sum = options.condition_sum},
                           options.spectral_norm),
      main_(register_module("main", torch::nn::Sequential())) {
  ATELIER_CHECK(options.ndf > 0);
  ConvolutionOptions convolution{.in_channels = 3,
                                 .out_channels = options.ndf,
                                 .kernel = 4,
                                 .stride = 2,
                                 .padding = 1,
                                 .bias = options.norm == NormKind::kNone};
  for (int layer = 0; layer <= DcganDoublings(options.side); ++layer) {
    convolution.out_channels = options.ndf << layer;
    main_->push_back(MakeConvolution(convolution, options.spectral_norm));
    if (layer > 0) {
      main_->push_back(MakeNorm(options.norm, convolution.out_channels));
    }
    main_->push_back(MakeLeakyRelu());
    convolution.in_channels = convolution.out_channels;
  }
  convolution.out_channels = 1;
  convolution.stride = 1;
  convolution.padding = 0;
  main_->push_back(MakeConvolution(convolution, options.spectral_norm));
}

Discriminator::Judgement DcganDiscriminator::JudgeConditional(const torch::Tensor& x,
                                                              const torch::Tensor& condition) {
  Judgement judgement = JudgeBySequence(*main_, x);
  ProjectCondition(condition, judgement);
  return judgement;
}

void DcganDiscriminator::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, std::move(random));
}

std::vector<Discriminator::Layer> DcganDiscriminator::Layers() {
  std::vector<Layer> layers = LayersOfSequence(*main_);
  AddConditionTo(layers.back());
  return layers;
}

}  // namespace atelier::nn
