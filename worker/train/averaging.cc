#include "worker/train/averaging.h"

#include <torch/types.h>

#include <algorithm>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/train/saved_state.h"

namespace atelier::train {
double KeepShare(double decay, std::int64_t step) {
  return std::min(decay, static_cast<double>(step + 2) / static_cast<double>(step + 11));
}

WeightAverage::WeightAverage(std::string name, std::shared_ptr<torch::nn::Module> mean,
                             std::shared_ptr<torch::nn::Module> source, double decay)
    : name_(std::move(name)), mean_(std::move(mean)), source_(std::move(source)), decay_(decay) {
  ATELIER_CHECK(decay >= 0 && decay < 1);
  if (!on()) {
    return;
  }
  torch::NoGradGuard no_grad;
  const std::vector<torch::Tensor> weights = source_->parameters();
  std::vector<torch::Tensor> means = mean_->parameters();
  ATELIER_CHECK(means.size() == weights.size());
  for (std::size_t i = 0; i < means.size(); ++i) {
    means[i].set_requires_grad(false);
    means[i].set_data(weights[i].detach().clone());
  }
  const std::vector<torch::Tensor> buffers = source_->buffers();
  std::vector<torch::Tensor> copies = mean_->buffers();
  ATELIER_CHECK(copies.size() == buffers.size());
  for (std::size_t i = 0; i < copies.size(); ++i) {
    copies[i].set_data(buffers[i].detach().clone());
  }
}

void WeightAverage::Update(std::int64_t step) {
  if (!on()) {
    return;
  }
  torch::NoGradGuard no_grad;
  const double share = 1.0 - KeepShare(decay_, step);
  const std::vector<torch::Tensor> weights = source_->parameters();
  std::vector<torch::Tensor> means = mean_->parameters();
  for (std::size_t i = 0; i < means.size(); ++i) {
    means[i].lerp_(weights[i], share);
  }
  const std::vector<torch::Tensor> buffers = source_->buffers();
  std::vector<torch::Tensor> copies = mean_->buffers();
  for (std::size_t i = 0; i < copies.size(); ++i) {
    copies[i].copy_(buffers[i]);
  }
}

void WeightAverage::Save(models::TensorMap& state) const {
  if (!on()) {
    return;
  }
  for (const auto& item : mean_->named_parameters()) {
    state[name_ + "." + item.key()] = CpuCopy(item.value());
  }
  for (const auto& item : mean_->named_buffers()) {
    state[name_ + "." + item.key()] = CpuCopy(item.value());
  }
}

absl::Status WeightAverage::Load(const models::TensorMap& state) {
  if (!on()) {
    return absl::OkStatus();
  }
  torch::NoGradGuard no_grad;
  const auto load = [&](const std::string& key, const torch::Tensor& tensor) -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(
        const torch::Tensor saved,
        FindTensor(state, name_ + "." + key, tensor.sizes(), tensor.scalar_type()));
    tensor.copy_(saved);
    return absl::OkStatus();
  };
  for (const auto& item : mean_->named_parameters()) {
    ATELIER_RETURN_IF_ERROR(load(item.key(), item.value()));
  }
  for (const auto& item : mean_->named_buffers()) {
    ATELIER_RETURN_IF_ERROR(load(item.key(), item.value()));
  }
  return absl::OkStatus();
}

}  // namespace atelier::train
