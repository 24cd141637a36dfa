#include "worker/nn/lite_network.h"

#include <torch/torch.h>

#include <cmath>
#include <vector>

#include "common/check.h"
#include "worker/nn/blocks.h"

namespace atelier::nn {
namespace {

constexpr int kHeadKernel = 5;
constexpr int kNoiseChannels = 8;
constexpr int kNoiseSide = 64;

std::int64_t Places(const LiteNetwork::Roll& roll, std::int64_t i, std::int64_t j) {
  return (roll.row2 * i * i + roll.both * i * j + roll.column2 * j * j + roll.row * i +
          roll.column * j) %
         kNoiseSide;
}

torch::nn::Conv2d Pointwise(int in, int out, bool bias) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, 1).bias(bias));
}

// x + project(relu(expand(norm(depthwise(x))))).
class LiteBlockImpl final : public torch::nn::Module {
 public:
  LiteBlockImpl(const LiteNetwork::Options& options, ModulationLayout* layout)
      : depthwise_(register_module(
            "depthwise",
            torch::nn::Conv2d(
                torch::nn::Conv2dOptions(options.channels, options.channels, options.block_kernel)
                    .padding(options.block_kernel / 2)
                    .groups(options.channels)
                    .bias(false)))),
        norm_(register_module("norm", StyleNorm(options.channels, layout))),
        expand_(register_module("expand",
                                Pointwise(options.channels, options.expansion, /*bias=*/true))),
        project_(register_module("project",
                                 Pointwise(options.expansion, options.channels, /*bias=*/true))) {}

  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& modulation) {
    return project_(expand_(norm_(depthwise_(x), modulation)).relu_()).add_(x);
  }

  void HalveOutput() {
    const torch::NoGradGuard no_grad;
    project_->weight.mul_(0.5);
  }

 private:
  torch::nn::Conv2d depthwise_;
  StyleNorm norm_;
  torch::nn::Conv2d expand_;
  torch::nn::Conv2d project_;
};
TORCH_MODULE(LiteBlock);

torch::nn::ModuleList MakeBlocks(const LiteNetwork::Options& options, ModulationLayout* layout) {
  ATELIER_CHECK(options.blocks > 0 && options.block_kernel % 2 == 1);
  torch::nn::ModuleList blocks;
  for (int i = 0; i < options.blocks; ++i) {
    blocks->push_back(LiteBlock(options, layout));
  }
  return blocks;
}

}  // namespace

StyleConvImpl::StyleConvImpl(const Options& options, ModulationLayout* layout)
    : kernel_(options.kernel),
      conv_(register_module(
          "conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(options.in_channels,
                                                             options.out_channels, options.kernel)
                                        .stride(options.stride)
                                        .bias(false)))),
      norm_(register_module("norm", StyleNorm(options.out_channels, layout))) {}

torch::Tensor StyleConvImpl::forward(const torch::Tensor& x, const torch::Tensor& modulation) {
  const std::int64_t pad = kernel_ / 2;
  return norm_(conv_(torch::reflection_pad2d(x, {pad, pad, pad, pad})), modulation).relu_();
}

// The order of registration is part of the recipe of the shipped models: initial weights are drawn
// in it.
LiteNetwork::LiteNetwork(const Options& options, Norms norms)
    : stem_(nullptr),
      down_(nullptr),
      noise_(nullptr),
      blocks_(nullptr),
      reduce_(nullptr),
      up_(nullptr),
      shrink_(nullptr),
      head_(nullptr) {
  ModulationLayout* const layout = norms == Norms::kModulated ? &layout_ : nullptr;
  const int channels = options.channels;
  const int up = options.up_channels;
  stem_ = register_module(
      "stem", StyleConv(StyleConvImpl::Options{3, options.stem_channels, 5, 2}, layout));
  down_ = register_module(
      "down", StyleConv(StyleConvImpl::Options{options.stem_channels, channels, 3, 2}, layout));
  noise_ = register_module("noise", Pointwise(kNoiseChannels, channels, /*bias=*/false));
  noise_tile_ =
      register_buffer("noise_tile", torch::zeros({1, kNoiseChannels, kNoiseSide, kNoiseSide}));
  blocks_ = register_module("blocks", MakeBlocks(options, layout));
  reduce_ = register_module("reduce", Pointwise(channels, up, /*bias=*/false));
  up_ = register_module("up", StyleConv(StyleConvImpl::Options{up, up, 3, 1}, layout));
  shrink_ = register_module("shrink", Pointwise(up, options.head_channels, /*bias=*/true));
  head_ = register_module("head", torch::nn::Conv2d(options.head_channels, 3, kHeadKernel));
}

torch::Tensor LiteNetwork::NoiseLike(const torch::Tensor& features) {
  const std::int64_t height = features.size(2);
  const std::int64_t width = features.size(3);
  const torch::Tensor tile = noise_(noise_tile_);
  std::vector<torch::Tensor> rows;
  for (std::int64_t i = 0; i * kNoiseSide < height; ++i) {
    std::vector<torch::Tensor> row;
    for (std::int64_t j = 0; j * kNoiseSide < width; ++j) {
      row.push_back(
          i + j == 0
              ? tile
              : torch::roll(tile, {Places(kRollDown, i, j), Places(kRollRight, i, j)}, {2, 3}));
    }
    rows.push_back(torch::cat(row, 3).slice(3, 0, width));
  }
  return torch::cat(rows, 2).slice(2, 0, height).contiguous(torch::MemoryFormat::ChannelsLast);
}

torch::Tensor LiteNetwork::Run(const torch::Tensor& x, const torch::Tensor& modulation) {
  ATELIER_CHECK(modulation.defined() ? modulation.size(1) == layout_.size() : layout_.size() == 0);
  const torch::Tensor padded = PadToMultiple(x, 4);
  torch::Tensor h = down_(stem_(padded, modulation), modulation);
  h = h + NoiseLike(h);
  for (const auto& block : *blocks_) {
    h = block->as<LiteBlock>()->forward(h, modulation);
  }
  h = up_(DoubleNearest(reduce_(h)), modulation);
  h = DoubleNearest(shrink_(h).relu_());
  constexpr int kPad = kHeadKernel / 2;
  h = head_(torch::reflection_pad2d(h, {kPad, kPad, kPad, kPad}));
  const torch::Tensor y = torch::tanh(h);
  return y.slice(2, 0, x.size(2)).slice(3, 0, x.size(3));
}

torch::Tensor LiteNetwork::NeutralModulation() const {
  torch::Tensor neutral = torch::zeros({layout_.size()});
  for (const ModulationLayout::Norm& norm : layout_.norms()) {
    neutral.narrow(0, norm.offset, norm.channels).fill_(1.0);
  }
  return neutral;
}

void LiteNetwork::InitializeNetwork(at::Generator random) {
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
