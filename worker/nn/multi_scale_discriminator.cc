#include "worker/nn/multi_scale_discriminator.h"

#include <torch/torch.h>

#include <string>
#include <utility>

#include "common/check.h"
#include "worker/nn/blocks.h"

namespace atelier::nn {

MultiScaleDiscriminator::MultiScaleDiscriminator(const Options& options) {
  ATELIER_CHECK(options.scales > 0);
  for (int i = 0; i < options.scales; ++i) {
    scales_.push_back(register_module("scale_" + std::to_string(i),
                                      std::make_shared<PatchDiscriminator>(options.patch)));
  }
}

Discriminator::Judgement MultiScaleDiscriminator::Judge(const torch::Tensor& x) {
  return JudgePyramid(AveragePyramid(x, static_cast<int>(scales_.size())));
}

Discriminator::Judgement MultiScaleDiscriminator::JudgePyramid(
    const std::vector<torch::Tensor>& pyramid) {
  ATELIER_CHECK(pyramid.size() == scales_.size());
  Judgement judgement;
  for (std::size_t i = 0; i < scales_.size(); ++i) {
    Judgement scale = scales_[i]->Judge(pyramid[i]);
    judgement.logits.push_back(std::move(scale.logits.front()));
    judgement.features.push_back(std::move(scale.features.front()));
  }
  return judgement;
}

void MultiScaleDiscriminator::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, std::move(random));
}

std::vector<Discriminator::Layer> MultiScaleDiscriminator::Layers() {
  std::vector<std::vector<Layer>> networks;
  networks.reserve(scales_.size());
  for (const auto& scale : scales_) {
    networks.push_back(scale->Layers());
  }
  return MergeLayers(networks);
}

std::vector<torch::Tensor> AveragePyramid(const torch::Tensor& x, int scales) {
  std::vector<torch::Tensor> pyramid = {x};
  for (int i = 1; i < scales; ++i) {
    pyramid.push_back(torch::avg_pool2d(pyramid.back(), /*kernel_size=*/3, /*stride=*/2,
                                        /*padding=*/1, /*ceil_mode=*/false,
                                        /*count_include_pad=*/false));
  }
  return pyramid;
}

}  // namespace atelier::nn
