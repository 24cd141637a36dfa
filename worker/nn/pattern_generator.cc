#include "worker/nn/pattern_generator.h"

#include <torch/torch.h>

#include <vector>

#include "common/check.h"

namespace atelier::nn {

PatternGenerator::PatternGenerator(const Shape& shape, const ConditionOptions& condition)
    : latent_size_(shape.latent_size), side_(shape.side), condition_entries_(condition.entries) {
  ATELIER_CHECK(shape.latent_size > 0 && condition.entries >= 0);
  if (condition.entries > 0) {
    condition_ = register_module("condition", ConditionEncoder(condition));
  }
}

torch::Tensor PatternGenerator::Generate(const torch::Tensor& z, const torch::Tensor& condition) {
  ATELIER_CHECK(!is_training());
  const torch::NoGradGuard no_grad;
  if (!z.is_cpu() || z.size(0) == 1) {
    return forward(z, condition);
  }
  std::vector<torch::Tensor> pictures;
  for (std::int64_t i = 0; i < z.size(0); ++i) {
    pictures.push_back(
        forward(z.narrow(0, i, 1), condition.defined() ? condition.narrow(0, i, 1) : condition));
  }
  return torch::cat(pictures);
}

int PatternGenerator::joined_size() const {
  return latent_size_ + (condition_.is_empty() ? 0 : condition_->size());
}

torch::Tensor PatternGenerator::JoinCondition(const torch::Tensor& z,
                                              const torch::Tensor& condition) {
  ATELIER_CHECK(condition.defined() == !condition_.is_empty());
  return condition_.is_empty() ? z : torch::cat({z, condition_(condition)}, /*dim=*/1);
}

void PatternGenerator::InitializeCondition(const at::Generator& random) {
  if (!condition_.is_empty()) {
    condition_->InitializeWeights(random);
  }
}

}  // namespace atelier::nn
