#include "worker/train/learner.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/_fused_adam.h>

#include <cmath>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/nn/batch_norm.h"
#include "worker/nn/memory_format.h"
#include "worker/train/gradients.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

constexpr double kEpsilon = 1e-8;

// The fused update walks through memory, so all its tensors need the parameter's layout; gradients
// of narrow convolutions come in another one.
torch::Tensor InLayoutOf(const torch::Tensor& parameter, const torch::Tensor& gradient) {
  return gradient.strides() == parameter.strides() ? gradient
                                                   : torch::empty_like(parameter).copy_(gradient);
}

}  // namespace

LearnerOptions GeneratorOptions(const TrainConfig& config) {
  return {.learning_rate = config.learning_rate,
          .beta1 = config.adam_beta1,
          .beta2 = config.adam_beta2,
          .gradient_clip = config.gradient_clip};
}

LossScaler::Options ScalerOptions(const TrainConfig& config) {
  return {.on = config.precision == Precision::kFp16};
}

at::Generator MakeRandom(std::uint64_t seed) { return at::detail::createCPUGenerator(seed); }

std::vector<at::Generator> DropoutRandoms(const TrainConfig& config, const SampleRange& samples,
                                          std::int64_t draw) {
  std::vector<at::Generator> generators;
  for (KeyedRandom& random :
       KeyedRandoms(config.seed, samples, samples.count, draw, Purpose::kDropout)) {
    generators.push_back(MakeRandom(random.Next()));
  }
  return generators;
}

Learner::Learner(std::string name, std::shared_ptr<torch::nn::Module> network,
                 const LearnerOptions& options)
    : name_(std::move(name)),
      network_(std::move(network)),
      options_(options),
      learning_rate_(options.learning_rate) {
  nn::UseChannelsLast(*network_);
  network_->train();
  for (const auto& item : network_->named_parameters()) {
    if (item.value().requires_grad()) {
      keys_.push_back(item.key());
      adam_.push_back({.parameter = item.value()});
      parameters_.push_back(item.value());
    }
  }
}

void Learner::SetRateShare(double share) { learning_rate_ = options_.learning_rate * share; }

void Learner::Join(ranks::RankGroup& group) {
  buckets_ = std::make_unique<GradientBuckets>(parameters_, group);
  nn::SynchronizeBatchNorms(
      *network_,
      {.sum = [&group](const torch::Tensor& tensor) { group.Sum(tensor); }, .ranks = group.size()});
}

void Learner::ExpectLastBackward() {
  if (buckets_ != nullptr) {
    buckets_->ExpectLast();
  }
}

void Learner::ZeroGradients() {
  for (torch::Tensor& parameter : parameters_) {
    parameter.mutable_grad().reset();
  }
}

bool Learner::Step(double scale) {
  if (buckets_ != nullptr) {
    buckets_->Average();
  }
  const double norm = GradientNorm(parameters_) / scale;
  if (!std::isfinite(norm)) {
    skipped_ = skipped_ || scale <= 1;
    return false;
  }
  double factor = 1 / scale;
  if (options_.gradient_clip > 0 && norm > options_.gradient_clip) {
    // Pascanu et al. 2013, arXiv:1211.5063.
    factor *= options_.gradient_clip / (norm + 1e-6);
  }
  if (factor != 1) {
    ScaleGradients(parameters_, factor);
  }
  Update();
  return true;
}

void Learner::Update() {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> parameters;
  std::vector<torch::Tensor> gradients;
  std::vector<torch::Tensor> averages;
  std::vector<torch::Tensor> squares;
  std::vector<torch::Tensor> steps;
  std::int64_t count = 0;
  torch::Tensor counted;
  for (Adam& adam : adam_) {
    if (!adam.parameter.grad().defined()) {
      continue;
    }
    if (!adam.average.defined()) {
      adam.average = torch::zeros_like(adam.parameter);
      adam.squares = torch::zeros_like(adam.parameter);
    }
    ++adam.steps;
    parameters.push_back(adam.parameter);
    gradients.push_back(InLayoutOf(adam.parameter, adam.parameter.grad()));
    averages.push_back(adam.average);
    squares.push_back(adam.squares);
    if (adam.steps != count) {  // most share one
      count = adam.steps;
      counted = torch::full({}, static_cast<float>(count),
                            adam.parameter.options().dtype(torch::kFloat32));
    }
    steps.push_back(counted);
  }
  if (!parameters.empty()) {
    at::_fused_adam_(parameters, gradients, averages, squares, /*max_exp_avg_sqs=*/{}, steps,
                     learning_rate_, options_.beta1, options_.beta2, /*weight_decay=*/0, kEpsilon,
                     /*amsgrad=*/false, /*maximize=*/false);
  }
}

void Learner::Save(models::TensorMap& state) const {
  for (const auto& item : network_->named_buffers()) {
    state[name_ + "." + item.key()] = CpuCopy(item.value());
  }
  for (const auto& item : network_->named_parameters()) {
    state[name_ + "." + item.key()] = CpuCopy(item.value());
  }
  for (std::size_t i = 0; i < adam_.size(); ++i) {
    const Adam& adam = adam_[i];
    if (adam.steps == 0) {
      continue;
    }
    const std::string name = name_ + "." + keys_[i];
    state[name + "#exp_avg"] = CpuCopy(adam.average);
    state[name + "#exp_avg_sq"] = CpuCopy(adam.squares);
    state[name + "#step"] = torch::tensor({adam.steps}, torch::kInt64);
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
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor saved,
                             find(name_ + "." + item.key(), item.value()));
    item.value().copy_(saved);
  }
  for (std::size_t i = 0; i < adam_.size(); ++i) {
    Adam& adam = adam_[i];
    const std::string name = name_ + "." + keys_[i];
    if (!state.contains(name + "#step")) {
      adam = {.parameter = adam.parameter};
      continue;
    }
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor step,
                             FindTensor(state, name + "#step", {1}, torch::kInt64));
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor average, find(name + "#exp_avg", adam.parameter));
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor squares,
                             find(name + "#exp_avg_sq", adam.parameter));
    adam.steps = step.item<std::int64_t>();
    adam.average = torch::zeros_like(adam.parameter).copy_(average);
    adam.squares = torch::zeros_like(adam.parameter).copy_(squares);
  }
  return absl::OkStatus();
}

}  // namespace atelier::train
