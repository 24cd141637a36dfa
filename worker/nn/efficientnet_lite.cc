#include "worker/nn/efficientnet_lite.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/check.h"

namespace atelier::nn {
namespace {

constexpr double kBatchNormEps = 1e-3;

// A row of the architecture: `repeats` blocks, of which the first has the stride and the change of
// channels.
struct Stage {
  int repeats;
  int kernel;
  int stride;
  int expansion;
  int in_channels;
  int out_channels;
};
constexpr Stage kStages[] = {{1, 3, 1, 1, 32, 16},  {2, 3, 2, 6, 16, 24},  {2, 5, 2, 6, 24, 40},
                             {3, 3, 2, 6, 40, 80},  {3, 5, 1, 6, 80, 112}, {4, 5, 2, 6, 112, 192},
                             {1, 3, 1, 6, 192, 320}};
constexpr int kStemChannels = 32;
constexpr int kHeadChannels = 1280;
constexpr int kClasses = 1000;

torch::nn::Conv2d Convolution(int in, int out, int kernel, int stride, int groups) {
  // Strided convolutions are padded by SamePadding, as the amounts differ between the sides.
  const int padding = stride == 1 ? kernel / 2 : 0;
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel)
                               .stride(stride)
                               .padding(padding)
                               .groups(groups)
                               .bias(false));
}

torch::nn::BatchNorm2d FoldableNorm(int channels) {
  return torch::nn::BatchNorm2d(torch::nn::BatchNorm2dOptions(channels).eps(kBatchNormEps));
}

// TensorFlow's "same" padding for the nominal input size; like the Python package, it is kept for
// every other size.
struct SamePadding {
  std::int64_t before = 0;
  std::int64_t after = 0;

  SamePadding(int side, int kernel, int stride) {
    if (stride > 1) {
      const int out = (side + stride - 1) / stride;
      const int total = std::max((out - 1) * stride + kernel - side, 0);
      before = total / 2;
      after = total - before;
    }
  }

  torch::Tensor operator()(const torch::Tensor& x) const {
    return before + after == 0 ? x : torch::constant_pad_nd(x, {before, after, before, after});
  }
};

// The convolution and its batch norm, which Fold has reduced to a bias.
torch::Tensor Apply(const torch::nn::Conv2d& conv, const torch::nn::BatchNorm2d& norm,
                    const torch::Tensor& x) {
  const auto& options = conv->options;
  return torch::conv2d(x, conv->weight, norm->bias, options.stride(),
                       std::get<torch::ExpandingArray<2>>(options.padding()), options.dilation(),
                       options.groups());
}

torch::Tensor ApplyRelu6(const torch::nn::Conv2d& conv, const torch::nn::BatchNorm2d& norm,
                         const torch::Tensor& x) {
  torch::Tensor y = Apply(conv, norm, x);
  return torch::relu6_(y);
}

// Leaves a batch norm that would do nothing, apart from its bias.
void FoldPair(torch::nn::Conv2d& conv, torch::nn::BatchNorm2d& norm) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor scale = norm->weight / torch::sqrt(norm->running_var + kBatchNormEps);
  conv->weight.mul_(scale.view({-1, 1, 1, 1}));
  norm->bias.sub_(norm->running_mean * scale);
  norm->weight.fill_(1.0);
  norm->running_mean.zero_();
  norm->running_var.fill_(1.0 - kBatchNormEps);
}

// Inverted bottleneck (Sandler et al. 2018, arXiv:1801.04381).
class BottleneckImpl final : public torch::nn::Module {
 public:
  BottleneckImpl(const Stage& stage, int side) : padding_(side, stage.kernel, stage.stride) {
    const int inner = stage.in_channels * stage.expansion;
    if (stage.expansion != 1) {
      expand_conv_ =
          register_module("_expand_conv", Convolution(stage.in_channels, inner, 1, 1, 1));
      bn0_ = register_module("_bn0", FoldableNorm(inner));
    }
    depthwise_conv_ = register_module("_depthwise_conv",
                                      Convolution(inner, inner, stage.kernel, stage.stride, inner));
    bn1_ = register_module("_bn1", FoldableNorm(inner));
    project_conv_ =
        register_module("_project_conv", Convolution(inner, stage.out_channels, 1, 1, 1));
    bn2_ = register_module("_bn2", FoldableNorm(stage.out_channels));
    skip_ = stage.stride == 1 && stage.in_channels == stage.out_channels;
  }

  void Fold() {
    if (expand_conv_) {
      FoldPair(expand_conv_, bn0_);
    }
    FoldPair(depthwise_conv_, bn1_);
    FoldPair(project_conv_, bn2_);
  }

  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor h = expand_conv_ ? ApplyRelu6(expand_conv_, bn0_, x) : x;
    h = ApplyRelu6(depthwise_conv_, bn1_, padding_(h));
    h = Apply(project_conv_, bn2_, h);
    return skip_ ? h.add_(x) : h;
  }

 private:
  SamePadding padding_;
  torch::nn::Conv2d expand_conv_{nullptr};
  torch::nn::BatchNorm2d bn0_{nullptr};
  torch::nn::Conv2d depthwise_conv_{nullptr};
  torch::nn::BatchNorm2d bn1_{nullptr};
  torch::nn::Conv2d project_conv_{nullptr};
  torch::nn::BatchNorm2d bn2_{nullptr};
  bool skip_ = false;
};
TORCH_MODULE(Bottleneck);

}  // namespace

EfficientNetLite::EfficientNetLite(int variant) {
  ATELIER_CHECK(variant == 0 || variant == 1);
  const double depth = variant == 0 ? 1.0 : 1.1;
  // The nominal side of the picture and then of each stage's input, from which the padding follows.
  int side = (variant == 0 ? 224 : 240) / 2;
  conv_stem_ = register_module("_conv_stem", Convolution(3, kStemChannels, 3, 2, 1));
  bn0_ = register_module("_bn0", FoldableNorm(kStemChannels));
  blocks_ = register_module("_blocks", torch::nn::ModuleList());
  for (const Stage& stage : kStages) {
    // The first and the last stage are never repeated more often (fix_head_stem).
    const bool fixed = &stage == std::begin(kStages) || &stage == std::end(kStages) - 1;
    const int repeats = fixed ? stage.repeats : static_cast<int>(std::ceil(depth * stage.repeats));
    Stage block = stage;
    for (int i = 0; i < repeats; ++i) {
      blocks_->push_back(Bottleneck(block, side));
      side = (side + block.stride - 1) / block.stride;
      block.stride = 1;
      block.in_channels = block.out_channels;
    }
  }
  conv_head_ = register_module(
      "_conv_head",
      Convolution(kStages[std::size(kStages) - 1].out_channels, kHeadChannels, 1, 1, 1));
  bn1_ = register_module("_bn1", FoldableNorm(kHeadChannels));
  fc_ = register_module("_fc", torch::nn::Linear(kHeadChannels, kClasses));
  for (torch::Tensor& parameter : parameters()) {
    parameter.requires_grad_(false);
  }
  eval();
}

void EfficientNetLite::Fold() {
  FoldPair(conv_stem_, bn0_);
  for (const auto& block : *blocks_) {
    block->as<Bottleneck>()->Fold();
  }
  FoldPair(conv_head_, bn1_);
}

torch::Tensor EfficientNetLite::Stem(const torch::Tensor& x) {
  // The network was trained on (pixel - 127) / 128 with pixels 0..255; x is pixel / 127.5 - 1.
  const torch::Tensor pixels = (x * 127.5 + 0.5) / 128.0;
  static const SamePadding padding(/*side=*/224, /*kernel=*/3, /*stride=*/2);
  return ApplyRelu6(conv_stem_, bn0_, padding(pixels));
}

std::vector<torch::Tensor> EfficientNetLite::BlocksFrom(torch::Tensor stem,
                                                        torch::ArrayRef<int> blocks) {
  std::vector<torch::Tensor> outputs;
  torch::Tensor h = std::move(stem);
  for (int i = 0; i <= blocks.back(); ++i) {
    h = blocks_->ptr(i)->as<Bottleneck>()->forward(h);
    if (std::ranges::find(blocks, i) != blocks.end()) {
      outputs.push_back(h);
    }
  }
  return outputs;
}

std::vector<torch::Tensor> EfficientNetLite::BlockOutputs(const torch::Tensor& x,
                                                          const std::vector<int>& blocks) {
  ATELIER_CHECK(!blocks.empty() && std::cmp_less(blocks.back(), blocks_->size()));
  return BlocksFrom(Stem(x), blocks);
}

std::vector<torch::Tensor> EfficientNetLite::Features(const torch::Tensor& x) {
  const torch::Tensor stem = Stem(x);
  std::vector<torch::Tensor> features = BlocksFrom(stem, kFeatureBlocks);
  features.insert(features.begin(), stem);
  return features;
}

torch::Tensor EfficientNetLite::forward(const torch::Tensor& x) {
  torch::Tensor h = Stem(x);
  for (const auto& block : *blocks_) {
    h = block->as<Bottleneck>()->forward(h);
  }
  h = ApplyRelu6(conv_head_, bn1_, h);
  return fc_(h.mean({2, 3}));
}

}  // namespace atelier::nn
