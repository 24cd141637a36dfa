#include "worker/nn/projected_discriminator.h"

#include <torch/torch.h>

#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "common/check.h"
#include "worker/nn/blocks.h"
#include "worker/nn/norms.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {
namespace {

constexpr int kFeatureLevels = 4;
// The last blocks of EfficientNet-Lite0 at strides 4, 8, 16 and 32, and their channels.
constexpr std::array<int, kFeatureLevels> kFeatureBlocks = {2, 4, 10, 15};
constexpr std::array<int, kFeatureLevels> kBlockChannels = {24, 40, 112, 320};
// Channels of the mixed features h_l, and of the discriminators at strides 2 to 32, of which the
// first four are those of m_l; in units of c.
constexpr std::array<int, kFeatureLevels> kMixed = {1, 2, 4, 8};
constexpr std::array<int, kFeatureLevels + 1> kWidths = {1, 1, 2, 4, 8};

torch::Tensor Mix(const torch::Tensor& x, const torch::Tensor& matrix) {
  return torch::conv2d(x, matrix);
}

torch::nn::Sequential MakeLevel(int level, int channels) {
  torch::nn::Sequential sequence;
  for (int i = level; i < kFeatureLevels; ++i) {
    sequence->push_back(MakeConvolution({.in_channels = kWidths[i] * channels,
                                         .out_channels = kWidths[i + 1] * channels,
                                         .kernel = 4,
                                         .stride = 2,
                                         .padding = 1,
                                         .bias = false},
                                        /*spectral=*/true));
    sequence->push_back(MakeNorm(NormKind::kBatch, kWidths[i + 1] * channels));
    sequence->push_back(MakeLeakyRelu());
  }
  sequence->push_back(MakeConvolution({.in_channels = kWidths.back() * channels,
                                       .out_channels = 1,
                                       .kernel = 3,
                                       .padding = 1,
                                       .bias = false},
                                      /*spectral=*/true));
  return sequence;
}

}  // namespace

ProjectedDiscriminator::ProjectedDiscriminator(const Options& options,
                                               std::shared_ptr<EfficientNetLite> network)
    : network_(std::move(network)) {
  ATELIER_CHECK(network_ != nullptr && options.channels > 0);
  const int channels = options.channels;
  for (int level = 0; level < kFeatureLevels; ++level) {
    const std::string suffix = std::to_string(level);
    const std::int64_t mixed = std::int64_t{kMixed[level]} * channels;
    const std::int64_t out = std::int64_t{kWidths[level]} * channels;
    mix_channels_.push_back(register_buffer("mix_channels_" + suffix,
                                            torch::zeros({mixed, kBlockChannels[level], 1, 1})));
    mix_scales_.push_back(
        register_buffer("mix_scales_" + suffix, torch::zeros({out, mixed, 1, 1})));
    levels_.emplace_back(register_module("level_" + suffix, MakeLevel(level, channels)));
  }
}

std::vector<torch::Tensor> ProjectedDiscriminator::Project(const torch::Tensor& x) {
  const std::vector<torch::Tensor> features =
      network_->BlockOutputs(x, {kFeatureBlocks.begin(), kFeatureBlocks.end()});
  std::vector<torch::Tensor> mixed(kFeatureLevels);
  for (int level = kFeatureLevels - 1; level >= 0; --level) {
    torch::Tensor h = Mix(features[level], mix_channels_[level]);
    if (level + 1 < kFeatureLevels) {
      h = h + mixed[level + 1];
    }
    // The finer level's size, which need not be exactly twice this one's.
    const std::vector<std::int64_t> size =
        level > 0 ? std::vector{features[level - 1].size(2), features[level - 1].size(3)}
                  : std::vector{2 * h.size(2), 2 * h.size(3)};
    // Interpolation and a 1x1 convolution without bias commute; this order is four times cheaper.
    mixed[level] =
        torch::upsample_bilinear2d(Mix(h, mix_scales_[level]), size, /*align_corners=*/false);
  }
  return mixed;
}

Discriminator::Judgement ProjectedDiscriminator::Judge(const torch::Tensor& x) {
  const std::vector<torch::Tensor> mixed = Project(x);
  Judgement judgement;
  for (int level = 0; level < kFeatureLevels; ++level) {
    Judgement one = JudgeBySequence(*levels_[level], mixed[level]);
    judgement.logits.push_back(std::move(one.logits.front()));
    judgement.features.push_back(std::move(one.features.front()));
  }
  return judgement;
}

void ProjectedDiscriminator::InitializeWeights(at::Generator random) {
  {
    const torch::NoGradGuard no_grad;
    for (std::vector<torch::Tensor>* matrices : {&mix_channels_, &mix_scales_}) {
      for (torch::Tensor& matrix : *matrices) {
        matrix.normal_(0.0, std::sqrt(2.0 / static_cast<double>(matrix.size(1))), random);
      }
    }
  }
  InitializeNormal(*this, std::move(random));
}

void ProjectedDiscriminator::to(torch::Device device, bool non_blocking) {
  Discriminator::to(device, non_blocking);
  network_->to(device, non_blocking);
}

std::vector<Discriminator::Layer> ProjectedDiscriminator::Layers() {
  std::vector<std::vector<Layer>> networks;
  networks.reserve(levels_.size());
  for (const torch::nn::Sequential& level : levels_) {
    networks.push_back(LayersOfSequence(*level));
  }
  return MergeLayers(networks);
}

}  // namespace atelier::nn
