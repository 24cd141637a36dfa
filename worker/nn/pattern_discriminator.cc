#include "worker/nn/pattern_discriminator.h"

#include <torch/torch.h>

#include <vector>

#include "common/check.h"

namespace atelier::nn {

PatternDiscriminator::PatternDiscriminator(const ConditionOptions& condition, bool spectral)
    : condition_entries_(condition.entries) {
  ATELIER_CHECK(condition.entries >= 0);
  if (condition.entries > 0) {
    condition_ = register_module("condition", ConditionEncoder(condition, spectral));
  }
}

void PatternDiscriminator::ProjectCondition(const torch::Tensor& condition, Judgement& judgement) {
  ATELIER_CHECK(condition.defined() == !condition_.is_empty());
  if (condition_.is_empty()) {
    return;
  }
  const torch::Tensor features =
      judgement.features.front().back().sum({2, 3}, /*keepdim=*/false, torch::kFloat);
  const torch::Tensor product = (features * condition_(condition)).sum(1);
  judgement.logits.front() = judgement.logits.front() + product.view({-1, 1, 1, 1});
}

void PatternDiscriminator::AddConditionTo(Layer& layer) const {
  if (!condition_.is_empty()) {
    const std::vector<torch::Tensor> weights = condition_->parameters();
    layer.insert(layer.end(), weights.begin(), weights.end());
  }
}

}  // namespace atelier::nn
