#include "worker/train/gradients.h"

#include <cmath>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/train/saved_state.h"

namespace atelier::train {

double GradientNorm(const Parameters& parameters) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> norms;
  for (const torch::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) {
      norms.push_back(parameter.grad().norm());
    }
  }
  if (norms.empty()) {
    return 0;
  }
  // Copied at once: a GPU is waited for at each copy.
  const torch::Tensor copied = torch::stack(norms).to(torch::kCPU, torch::kFloat64);
  const auto values = copied.accessor<double, 1>();
  double square = 0;
  for (std::int64_t i = 0; i < values.size(0); ++i) {
    square += values[i] * values[i];
  }
  return std::sqrt(square);
}

void ScaleGradients(const Parameters& parameters, double factor) {
  torch::NoGradGuard no_grad;
  for (const torch::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) {
      parameter.grad().mul_(factor);
    }
  }
}

std::map<std::string, double> AccumulateGradients(int parts, const LossScaler& scaler,
                                                  const std::function<Losses(int part)>& losses) {
  ATELIER_CHECK(parts >= 1);
  const double share = 1.0 / parts;
  std::map<std::string, double> means;
  for (int part = 0; part < parts; ++part) {
    torch::Tensor total = torch::zeros({});
    const Losses of_part = losses(part);
    for (const auto& [name, loss] : of_part) {
      total = total + loss;
    }
    scaler.Scale(total * share).backward();
    for (const auto& [name, loss] : of_part) {
      const double value = share * loss.item<double>();
      means[name] += value;
      means["total"] += value;
    }
  }
  return means;
}

NanGuard::NanGuard(int most_skips) : most_skips_(most_skips) { ATELIER_CHECK(most_skips >= 1); }

NanGuard::Action NanGuard::Report(bool finite) {
  if (finite) {
    skips_ = 0;
    restored_ = false;
    return Action::kGoOn;
  }
  ++skips_;
  if (skips_ < most_skips_) {
    return Action::kSkipped;
  }
  skips_ = 0;
  if (restored_ || last_good_.empty()) {
    return Action::kGiveUp;
  }
  restored_ = true;
  return Action::kRestore;
}

void NanGuard::Keep(models::TensorMap state) {
  if (skips_ == 0 && !restored_) {
    last_good_ = std::move(state);
  }
}

void NanGuard::Save(const std::string& name, models::TensorMap& state) const {
  SaveNumbers(state, name + "#guard", {static_cast<double>(skips_), restored_ ? 1.0 : 0.0});
}

absl::Status NanGuard::Load(const std::string& name, const models::TensorMap& state) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<double> saved, LoadNumbers(state, name + "#guard", 2));
  skips_ = static_cast<int>(saved[0]);
  restored_ = saved[1] != 0;
  return absl::OkStatus();
}

void LossScaler::Report(bool finite) {
  if (!options_.on) {
    return;
  }
  if (!finite) {
    scale_ *= options_.backoff;
    finite_steps_ = 0;
    return;
  }
  ++finite_steps_;
  if (finite_steps_ == options_.growth_interval) {
    scale_ *= options_.growth;
    finite_steps_ = 0;
  }
}

void LossScaler::Save(models::TensorMap& state) const {
  if (options_.on) {
    SaveNumbers(state, name_ + "#scale", {scale_, static_cast<double>(finite_steps_)});
  }
}

absl::Status LossScaler::Load(const models::TensorMap& state) {
  if (!options_.on) {
    return absl::OkStatus();
  }
  ATELIER_ASSIGN_OR_RETURN(const std::vector<double> saved,
                           LoadNumbers(state, name_ + "#scale", 2));
  scale_ = saved[0];
  finite_steps_ = static_cast<int>(saved[1]);
  return absl::OkStatus();
}

}  // namespace atelier::train
