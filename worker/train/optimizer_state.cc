#include "worker/train/optimizer_state.h"

#include <memory>
#include <utility>

#include "common/status_macros.h"

namespace atelier::train {
namespace {

torch::Tensor Copy(const torch::Tensor& tensor) {
  return tensor.detach().to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous();
}

absl::StatusOr<torch::Tensor> Find(const TensorMap& state, const std::string& name,
                                   torch::IntArrayRef shape) {
  const auto it = state.find(name);
  if (it == state.end() || it->second.sizes() != shape) {
    return absl::DataLossError("the checkpoint lacks " + name + ", or it has another shape");
  }
  return it->second;
}

}  // namespace

void SaveNetwork(const std::string& prefix, const torch::nn::Module& network,
                 torch::optim::Adam& optimizer, TensorMap& state) {
  for (const auto& item : network.named_parameters()) {
    const std::string name = prefix + "." + item.key();
    state[name] = Copy(item.value());
    const auto it = optimizer.state().find(item.value().unsafeGetTensorImpl());
    if (it == optimizer.state().end()) {
      continue;  // before the first step
    }
    const auto& adam = static_cast<const torch::optim::AdamParamState&>(*it->second);
    state[name + "#exp_avg"] = Copy(adam.exp_avg());
    state[name + "#exp_avg_sq"] = Copy(adam.exp_avg_sq());
    state[name + "#step"] = torch::tensor({adam.step()}, torch::kInt64);
  }
}

absl::Status LoadNetwork(const std::string& prefix, const TensorMap& state,
                         torch::nn::Module& network, torch::optim::Adam& optimizer) {
  torch::NoGradGuard no_grad;
  for (auto& item : network.named_parameters()) {
    const std::string name = prefix + "." + item.key();
    torch::Tensor& weight = item.value();
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor saved, Find(state, name, weight.sizes()));
    weight.copy_(saved);
    if (!state.contains(name + "#step")) {
      continue;
    }
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor step, Find(state, name + "#step", {1}));
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor avg,
                             Find(state, name + "#exp_avg", weight.sizes()));
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor avg_sq,
                             Find(state, name + "#exp_avg_sq", weight.sizes()));
    auto adam = std::make_unique<torch::optim::AdamParamState>();
    adam->step(step.item<std::int64_t>());
    // The moments take the weight's memory layout, as Adam's own do.
    adam->exp_avg(torch::zeros_like(weight).copy_(avg));
    adam->exp_avg_sq(torch::zeros_like(weight).copy_(avg_sq));
    optimizer.state()[weight.unsafeGetTensorImpl()] = std::move(adam);
  }
  return absl::OkStatus();
}

}  // namespace atelier::train
