#include "worker/nn/classic_generator.h"

#include <torch/torch.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "common/check.h"
#include "worker/nn/blocks.h"
#include "worker/nn/dropout.h"
#include "worker/nn/norms.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {
namespace {

constexpr int kKernel = 5;
constexpr int kFirstSide = 7;
constexpr double kDropout = 0.3;

// How often 7 pixels are doubled until `side` is reached.
int ClassicDoublings(int side) {
  const int times = side / kFirstSide;
  ATELIER_CHECK(side == kFirstSide * times && times >= 4 && times <= 32 &&
                std::has_single_bit(static_cast<unsigned>(times)));
  return std::countr_zero(static_cast<unsigned>(times));
}

// The channels after `halvings` >= 1 halvings of the picture.
int Channels(int base, int halvings) { return base << std::min(halvings - 1, 2); }

torch::nn::ConvTranspose2d ClassicTransposed(int in, int out, int stride) {
  return torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(in, out, kKernel)
                                        .stride(stride)
                                        .padding(kKernel / 2)
                                        .output_padding(stride - 1)
                                        .bias(false));
}

void PushNormLeakyRelu(torch::nn::SequentialImpl& main, int channels) {
  main.push_back(MakeNorm(NormKind::kBatch, channels));
  main.push_back(MakeLeakyRelu());
}

// Uniform within sqrt(6 / (fan-in + fan-out)).
void InitializeGlorot(torch::nn::Module& module, const at::Generator& random) {
  InitializeConvolutions(module, [&](torch::Tensor& weight) {
    const double taps = weight.dim() == 4 ? static_cast<double>(weight[0][0].numel()) : 1.0;
    const double channels = static_cast<double>(weight.size(0) + weight.size(1));
    const double bound = std::sqrt(6.0 / (taps * channels));
    weight.uniform_(-bound, bound, random);
  });
}

}  // namespace

ClassicGenerator::ClassicGenerator(const Options& options)
    : PatternGenerator({.latent_size = options.latent_size, .side = options.side},
                       options.condition),
      main_(register_module("main", torch::nn::Sequential())) {
  ATELIER_CHECK(options.base_channels > 0);
  const int doublings = ClassicDoublings(options.side);
  int channels = Channels(options.base_channels, doublings + 1);
  dense_ = register_module(
      "dense",
      torch::nn::Linear(
          torch::nn::LinearOptions(joined_size(), std::int64_t{channels} * kFirstSide * kFirstSide)
              .bias(false)));
  PushNormLeakyRelu(*main_, channels);
  for (int left = doublings; left >= 0; --left) {
    const bool last = left == 0;
    const int out = last ? 3 : Channels(options.base_channels, left);
    if (left == doublings) {
      main_->push_back(ClassicTransposed(channels, out, /*stride=*/1));
    } else if (options.resize_convolution) {
      main_->push_back(ResizeConv(channels, out, /*with_bias=*/false));
    } else {
      main_->push_back(ClassicTransposed(channels, out, /*stride=*/2));
    }
    if (!last) {
      PushNormLeakyRelu(*main_, out);
    }
    channels = out;
  }
  main_->push_back(torch::nn::Tanh());
}

torch::Tensor ClassicGenerator::forward(const torch::Tensor& z, const torch::Tensor& condition) {
  const torch::Tensor first = dense_(JoinCondition(z, condition));
  return main_->forward(first.view({z.size(0), -1, kFirstSide, kFirstSide}));
}

void ClassicGenerator::InitializeWeights(at::Generator random) {
  InitializeGlorot(*this, random);
  for (const auto& layer : main_->children()) {
    if (auto* norm = layer->as<torch::nn::BatchNorm2d>(); norm != nullptr) {
      norm->reset_running_stats();
    }
  }
  InitializeCondition(random);
}

ClassicDiscriminator::ClassicDiscriminator(const Options& options)
    : PatternDiscriminator({.entries = options.condition_entries,
                            .size = Channels(options.base_channels, ClassicDoublings(options.side)),
                            .sum = options.condition_sum},
                           options.spectral_norm),
      main_(register_module("main", torch::nn::Sequential())) {
  ATELIER_CHECK(options.base_channels > 0);
  ConvolutionOptions convolution{.in_channels = 3,
                                 .out_channels = options.base_channels,
                                 .kernel = kKernel,
                                 .stride = 2,
                                 .padding = kKernel / 2};
  for (int halvings = 1; halvings <= ClassicDoublings(options.side); ++halvings) {
    convolution.out_channels = Channels(options.base_channels, halvings);
    main_->push_back(MakeConvolution(convolution, options.spectral_norm));
    main_->push_back(MakeLeakyRelu());
    main_->push_back(KeyedDropout(kDropout));
    convolution.in_channels = convolution.out_channels;
  }
  // A dense layer, as a convolution over the whole of what is left.
  convolution.out_channels = 1;
  convolution.kernel = kFirstSide;
  convolution.stride = 1;
  convolution.padding = 0;
  main_->push_back(MakeConvolution(convolution, options.spectral_norm));
}

Discriminator::Judgement ClassicDiscriminator::JudgeConditional(const torch::Tensor& x,
                                                                const torch::Tensor& condition) {
  Judgement judgement = JudgeBySequence(*main_, x);
  ProjectCondition(condition, judgement);
  return judgement;
}

void ClassicDiscriminator::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, random);
  InitializeGlorot(*main_, random);
}

std::vector<Discriminator::Layer> ClassicDiscriminator::Layers() {
  std::vector<Layer> layers = LayersOfSequence(*main_);
  AddConditionTo(layers.back());
  return layers;
}

void ClassicDiscriminator::SetDropoutRandom(const std::vector<at::Generator>& randoms) {
  for (const auto& layer : main_->children()) {
    if (auto* dropout = layer->as<KeyedDropout>(); dropout != nullptr) {
      dropout->SetRandom(randoms);
    }
  }
}

}  // namespace atelier::nn
