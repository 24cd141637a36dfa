#include "worker/train/learner.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/nn/memory_format.h"
#include "worker/train/gradients.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

std::vector<torch::Tensor> Learning(const torch::nn::Module& network) {
  std::vector<torch::Tensor> parameters;
  for (const torch::Tensor& parameter : network.parameters()) {
    if (parameter.requires_grad()) {
      parameters.push_back(parameter);
    }
  }
  return parameters;
}

}  // namespace

LearnerOptions GeneratorOptions(const TrainConfig& config) {
  return {.learning_rate = config.learning_rate,
          .beta1 = config.adam_beta1,
          .beta2 = config.adam_beta2,
          .gradient_clip = config.gradient_clip};
}

at::Generator MakeRandom(std::uint64_t seed) { return at::detail::createCPUGenerator(seed); }

at::Generator DropoutRandom(const TrainConfig& config, std::int64_t step) {
  return MakeRandom(KeyedRandom(config.seed, step, 0, Purpose::kDropout).Next());
}

Learner::Learner(std::string name, std::shared_ptr<torch::nn::Module> network,
                 const LearnerOptions& options)
    : name_(std::move(name)),
      network_(std::move(network)),
      options_(options),
      optimizer_(
          Learning(*network_),
          torch::optim::AdamOptions(options.learning_rate).betas({options.beta1, options.beta2})) {
  nn::UseChannelsLast(*network_);
  network_->train();
}

void Learner::SetRateShare(double share) {
  for (auto& group : optimizer_.param_groups()) {
    group.options().set_lr(options_.learning_rate * share);
  }
}

double Learner::learning_rate() const {
  return optimizer_.param_groups().front().options().get_lr();
}

void Learner::ZeroGradients() { optimizer_.zero_grad(); }

bool Learner::Step() {
  const Parameters& parameters = optimizer_.param_groups().front().params();
  const double norm = GradientNorm(parameters);
  if (!std::isfinite(norm)) {
    return false;
  }
  if (options_.gradient_clip > 0 && norm > options_.gradient_clip) {
    ScaleGradients(parameters, options_.gradient_clip / (norm + 1e-6));
  }
  optimizer_.step();
  return true;
}

void Learner::Save(models::TensorMap& state) const {
  for (const auto& item : network_->named_buffers()) {
    state[name_ + "." + item.key()] = CpuCopy(item.value());
  }
  for (const auto& item : network_->named_parameters()) {
    const std::string name = name_ + "." + item.key();
    state[name] = CpuCopy(item.value());
    const auto it = optimizer_.state().find(item.value().unsafeGetTensorImpl());
    if (it == optimizer_.state().end()) {
      continue;  // before the first step
    }
    const auto& adam = static_cast<const torch::optim::AdamParamState&>(*it->second);
    state[name + "#exp_avg"] = CpuCopy(adam.exp_avg());
    state[name + "#exp_avg_sq"] = CpuCopy(adam.exp_avg_sq());
    state[name + "#step"] = torch::tensor({adam.step()}, torch::kInt64);
  }
}

absl::Status Learner::Load(const models::TensorMap& state) {
  torch::NoGradGuard no_grad;
  // The saved tensor `name`, as `like` is.
  const auto find = [&state](const std::string& name, const torch::Tensor& like) {
    return FindTensor(state, name, like.sizes(), like.scalar_type());
  };
  for (auto& item : network_->named_buffers()) {
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor saved,
                             find(name_ + "." + item.key(), item.value()));
    item.value().copy_(saved);
  }
  for (auto& item : network_->named_parameters()) {
    const std::string name = name_ + "." + item.key();
    torch::Tensor& weight = item.value();
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor saved, find(name, weight));
    weight.copy_(saved);
    if (!state.contains(name + "#step")) {
      continue;
    }
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor step,
                             FindTensor(state, name + "#step", {1}, torch::kInt64));
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor avg, find(name + "#exp_avg", weight));
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor avg_sq, find(name + "#exp_avg_sq", weight));
    auto adam = std::make_unique<torch::optim::AdamParamState>();
    adam->step(step.item<std::int64_t>());
    // The moments take the weight's memory layout, as Adam's own do.
    adam->exp_avg(torch::zeros_like(weight).copy_(avg));
    adam->exp_avg_sq(torch::zeros_like(weight).copy_(avg_sq));
    optimizer_.state()[weight.unsafeGetTensorImpl()] = std::move(adam);
  }
  return absl::OkStatus();
}

}  // namespace atelier::train
