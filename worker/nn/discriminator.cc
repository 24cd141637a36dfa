#include "worker/nn/discriminator.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace atelier::nn {

void Discriminator::FreezeLayers(int count) {
  ATELIER_CHECK(count >= 0 && std::cmp_less_equal(count, Layers().size()));
  frozen_ = count;
  WantGradients(true);
}

void Discriminator::WantGradients(bool wanted) {
  int depth = 0;
  for (Layer& layer : Layers()) {
    const bool frozen = depth++ < frozen_;
    for (torch::Tensor& weight : layer) {
      weight.set_requires_grad(wanted && !frozen);
    }
  }
}

Discriminator::Judgement JudgeBySequence(torch::nn::SequentialImpl& sequence,
                                         const torch::Tensor& x) {
  Discriminator::Judgement judgement;
  std::vector<torch::Tensor>& features = judgement.features.emplace_back();
  torch::Tensor h = x;
  for (torch::nn::AnyModule& module : sequence) {
    h = module.forward(h);
    if (module.ptr()->as<torch::nn::LeakyReLU>() != nullptr) {
      features.push_back(h);
    }
  }
  judgement.logits.push_back(h);
  return judgement;
}

std::vector<Discriminator::Layer> LayersOfSequence(const torch::nn::SequentialImpl& sequence) {
  std::vector<Discriminator::Layer> layers;
  for (const auto& module : sequence.children()) {
    const std::vector<torch::Tensor> weights = module->parameters();
    const auto is_matrix = [](const torch::Tensor& weight) { return weight.dim() > 1; };
    if (std::ranges::any_of(weights, is_matrix)) {
      layers.emplace_back();
    }
    if (!layers.empty()) {
      layers.back().insert(layers.back().end(), weights.begin(), weights.end());
    }
  }
  return layers;
}

torch::nn::AnyModule MakeLeakyRelu() {
  return torch::nn::AnyModule(
      torch::nn::LeakyReLU(torch::nn::LeakyReLUOptions().negative_slope(0.2).inplace(true)));
}

std::vector<Discriminator::Layer> MergeLayers(
    const std::vector<std::vector<Discriminator::Layer>>& networks) {
  std::vector<Discriminator::Layer> merged;
  for (const auto& layers : networks) {
    merged.resize(std::max(merged.size(), layers.size()));
    for (std::size_t depth = 0; depth < layers.size(); ++depth) {
      merged[depth].insert(merged[depth].end(), layers[depth].begin(), layers[depth].end());
    }
  }
  return merged;
}

}  // namespace atelier::nn
