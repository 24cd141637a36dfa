#include "worker/nn/lite_generator.h"

#include <torch/torch.h>

#include <cmath>

#include "common/check.h"

namespace atelier::nn {
namespace {

torch::nn::Conv2d Pointwise(int in, int out, bool bias) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1).bias(bias));
}

torch::Tensor Double(const torch::Tensor& x) {
  return torch::upsample_nearest2d(x, {x.size(2) * 2, x.size(3) * 2});
}

// x + project(relu(expand(norm(depthwise(x))))).
class LiteBlockImpl final : public torch::nn::Module {
 public:
  LiteBlockImpl(int channels, int kernel, int expansion)
      : depthwise_(register_module(
            "depthwise", torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, channels, kernel)
                                               .padding(kernel / 2)
                                               .groups(channels)
                                               .bias(false)))),
        norm_(register_module("norm", InstanceNorm(channels, /*affine=*/true))),
        expand_(register_module("expand", Pointwise(channels, expansion, /*bias=*/true))),
        project_(register_module("project", Pointwise(expansion, channels, /*bias=*/true))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return project_(expand_(norm_(depthwise_(x))).relu_()).add_(x);
  }

  void HalveOutput() {
    const torch::NoGradGuard no_grad;
    project_->weight.mul_(0.5);
  }

 private:
  torch::nn::Conv2d depthwise_;
  InstanceNorm norm_;
  torch::nn::Conv2d expand_;
  torch::nn::Conv2d project_;
};
TORCH_MODULE(LiteBlock);

constexpr int kHeadKernel = 5;
constexpr int kNoiseChannels = 8;
constexpr int kNoiseSide = 64;

}  // namespace

LiteGenerator::LiteGenerator(const Options& options)
    : stem_(register_module("stem", ConvNormRelu(3, options.stem_channels, 5, 2))),
      down_(register_module("down", ConvNormRelu(options.stem_channels, options.channels, 3, 2))),
      noise_(register_module("noise", Pointwise(kNoiseChannels, options.channels, /*bias=*/false))),
      noise_tile_(
          register_buffer("noise_tile", torch::zeros({1, kNoiseChannels, kNoiseSide, kNoiseSide}))),
      blocks_(register_module("blocks", torch::nn::ModuleList())),
      reduce_(register_module("reduce",
                              Pointwise(options.channels, options.up_channels, /*bias=*/false))),
      up_(register_module("up", ConvNormRelu(options.up_channels, options.up_channels, 3, 1))),
      shrink_(register_module(
          "shrink", Pointwise(options.up_channels, options.head_channels, /*bias=*/true))),
      head_(register_module("head", torch::nn::Conv2d(options.head_channels, 3, kHeadKernel))) {
  ATELIER_CHECK(options.blocks > 0 && options.block_kernel % 2 == 1);
  for (int i = 0; i < options.blocks; ++i) {
    blocks_->push_back(LiteBlock(options.channels, options.block_kernel, options.expansion));
  }
}

torch::Tensor LiteGenerator::NoiseLike(const torch::Tensor& features) {
  const std::int64_t height = features.size(2);
  const std::int64_t width = features.size(3);
  const auto times = [](std::int64_t side) { return (side + kNoiseSide - 1) / kNoiseSide; };
  return noise_(noise_tile_)
      .repeat({1, 1, times(height), times(width)})
      .slice(2, 0, height)
      .slice(3, 0, width)
      .contiguous(torch::MemoryFormat::ChannelsLast);
}

torch::Tensor LiteGenerator::forward(const torch::Tensor& x) {
  const torch::Tensor padded = PadToMultiple(x, 4);
  torch::Tensor h = down_(stem_(padded));
  h = h + NoiseLike(h);
  for (const auto& block : *blocks_) {
    h = block->as<LiteBlock>()->forward(h);
  }
  h = up_(Double(reduce_(h)));
  h = Double(shrink_(h).relu_());
  constexpr int kPad = kHeadKernel / 2;
  h = head_(torch::reflection_pad2d(h, {kPad, kPad, kPad, kPad}));
  const torch::Tensor y = torch::tanh(h);
  return y.slice(2, 0, x.size(2)).slice(3, 0, x.size(3));
}

void LiteGenerator::InitializeWeights(at::Generator random) {
  InitializeConvolutions(*this, [&](torch::Tensor& weight) {
    const auto fan_in = static_cast<double>(weight[0].numel());
    weight.normal_(0.0, std::sqrt(2.0 / fan_in), random);
  });
  for (const auto& block : *blocks_) {
    block->as<LiteBlock>()->HalveOutput();
  }
  const torch::NoGradGuard no_grad;
  noise_->weight.normal_(0.0, 0.1, random);
  noise_tile_.normal_(0.0, 1.0, random);
  head_->weight.normal_(0.0, 0.02, random);
}

}  // namespace atelier::nn
