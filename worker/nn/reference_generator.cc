#include "worker/nn/reference_generator.h"

#include <torch/torch.h>

#include <cmath>
#include <vector>

#include "common/check.h"
#include "worker/nn/instance_norm.h"

namespace atelier::nn {
namespace {

// Reflection padding, a convolution that halves the size and, if depthwise, another that mixes the
// channels.
torch::nn::Sequential MakeLevel(int in, int out, bool depthwise) {
  torch::nn::Sequential level(torch::nn::ReflectionPad2d(1));
  if (depthwise) {
    level->push_back(
        torch::nn::Conv2d(torch::nn::Conv2dOptions(in, in, 3).stride(2).groups(in).bias(false)));
    level->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1)));
  } else {
    level->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 3).stride(2)));
  }
  level->push_back(torch::nn::ReLU(true));
  return level;
}

// float [N, 2C]: mean and deviation of [N, C, H, W] over the picture.
torch::Tensor Statistics(const torch::Tensor& features) {
  const torch::Tensor values = features.to(torch::kFloat).flatten(2);
  const torch::Tensor mean = values.mean(2);
  const torch::Tensor variance = (values - mean.unsqueeze(2)).square().mean(2);
  return torch::cat({mean, (variance + kInstanceNormEps).sqrt()}, 1);
}

// All levels together have base * (2^levels - 1) channels.
int StatisticsSize(const StyleEncoderImpl::Options& options) {
  return 2 * options.base_channels * ((1 << options.levels) - 1);
}

}  // namespace

StyleEncoderImpl::StyleEncoderImpl(const Options& options)
    : levels_(register_module("levels", torch::nn::ModuleList())),
      widen_(register_module("widen", torch::nn::Linear(StatisticsSize(options), options.hidden))),
      code_(register_module("code", torch::nn::Linear(options.hidden, options.code_size))) {
  ATELIER_CHECK(options.base_channels > 0 && options.levels > 0);
  for (int level = 0; level < options.levels; ++level) {
    const int out = options.base_channels << level;
    levels_->push_back(MakeLevel(level == 0 ? 3 : out / 2, out, /*depthwise=*/level > 0));
  }
}

torch::Tensor StyleEncoderImpl::forward(const torch::Tensor& x) {
  std::vector<torch::Tensor> statistics;
  torch::Tensor h = x;
  for (const auto& level : *levels_) {
    h = level->as<torch::nn::Sequential>()->forward(h);
    statistics.push_back(Statistics(h));
  }
  const torch::Tensor style = torch::cat(statistics, 1).to(widen_->weight.scalar_type());
  return code_(torch::relu(widen_(style)));
}

ReferenceGenerator::ReferenceGenerator(const Options& options)
    : LiteNetwork(options.network, Norms::kModulated),
      code_size_(options.style.code_size),
      style_(register_module("style", StyleEncoder(options.style))),
      modulation_(register_module("modulation",
                                  torch::nn::Linear(options.style.code_size, modulation_size()))) {}

torch::Tensor ReferenceGenerator::Style(const torch::Tensor& pictures) { return style_(pictures); }

torch::Tensor ReferenceGenerator::Modulation(const torch::Tensor& code) {
  // Scales near 1 keep few digits in bfloat16.
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  return modulation_(code.to(modulation_->weight.scalar_type()));
}

torch::Tensor ReferenceGenerator::forward(const torch::Tensor& x, const torch::Tensor& code) {
  return Run(x, Modulation(code));
}

torch::Tensor ReferenceGenerator::forward(const torch::Tensor& x) { return forward(x, Style(x)); }

void ReferenceGenerator::InitializeWeights(at::Generator random) {
  InitializeNetwork(random);
  const torch::NoGradGuard no_grad;
  modulation_->weight.normal_(0.0, 0.1 / std::sqrt(static_cast<double>(code_size_)), random);
  modulation_->bias.copy_(NeutralModulation());
}

}  // namespace atelier::nn
