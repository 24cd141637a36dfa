#include "worker/nn/vae.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/check.h"
#include "worker/nn/blocks.h"
#include "worker/nn/discriminator.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {
namespace {

constexpr int kSmallestSide = 4;

}  // namespace

torch::Tensor Reparameterize(const LatentDistribution& latent, const torch::Tensor& noise) {
  return latent.mean + torch::exp(0.5 * latent.log_variance) * noise;
}

PatternEncoder::PatternEncoder(const Options& options)
    : main_(register_module("main", torch::nn::Sequential())) {
  ATELIER_CHECK(options.side >= 2 * kSmallestSide && options.latent_size > 0 &&
                options.base_channels > 0);
  ConvolutionOptions convolution{.in_channels = 3,
                                 .out_channels = options.base_channels,
                                 .kernel = 4,
                                 .stride = 2,
                                 .padding = 1};
  int side = options.side;
  for (; side >= 2 * kSmallestSide; side /= 2) {
    ATELIER_CHECK(side % 2 == 0);
    const bool first = side == options.side;
    convolution.bias = first || options.norm == NormKind::kNone;
    main_->push_back(MakeConvolution(convolution, /*spectral=*/false));
    if (!first) {
      main_->push_back(MakeNorm(options.norm, convolution.out_channels));
    }
    main_->push_back(MakeLeakyRelu());
    convolution.in_channels = convolution.out_channels;
    convolution.out_channels = std::min(2 * convolution.out_channels, 8 * options.base_channels);
  }
  main_->push_back(MakeConvolution({.in_channels = convolution.in_channels,
                                    .out_channels = 2 * options.latent_size,
                                    .kernel = side},
                                   /*spectral=*/false));
}

LatentDistribution PatternEncoder::Encode(const torch::Tensor& x) {
  // In fp32 also under autocast: the divergence from the standard normal takes exp(log_variance).
  const std::vector<torch::Tensor> halves =
      main_->forward(x).flatten(1).to(torch::kFloat).chunk(2, /*dim=*/1);
  return {.mean = halves[0], .log_variance = halves[1]};
}

void PatternEncoder::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, std::move(random));
}

}  // namespace atelier::nn
