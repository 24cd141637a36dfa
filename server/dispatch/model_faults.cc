#include "server/dispatch/model_faults.h"

namespace atelier::server {

ModelFaults::Fault& ModelFaults::Find(const std::string& model, absl::Time now) {
  if (faults_.size() >= kMaxModels && !faults_.contains(model)) {
    std::erase_if(faults_, [&](const auto& fault) { return fault.second.breaker.clean(now); });
    if (faults_.size() >= kMaxModels) {
      faults_.erase(faults_.begin());
    }
  }
  return faults_.try_emplace(model, Fault{.breaker = CircuitBreaker(options_)}).first->second;
}

void ModelFaults::LoadFailed(const std::string& model, const std::string& weights, absl::Time now) {
  if (model.empty()) {
    return;
  }
  Fault& fault = Find(model, now);
  fault.breaker.Trip(now);
  fault.weights = weights;
  fault.load = true;
}

void ModelFaults::Failed(const std::string& model, std::uint64_t fingerprint, absl::Time now) {
  if (model.empty()) {
    return;
  }
  Fault& fault = Find(model, now);
  fault.breaker.Failed(fingerprint, now);
  fault.load = false;
}

bool ModelFaults::Worked(const std::string& model) { return faults_.erase(model) > 0; }

std::vector<std::string> ModelFaults::Loaded(const std::string& weights) {
  std::vector<std::string> models;
  std::erase_if(faults_, [&](const auto& fault) {
    const bool well = fault.second.load && fault.second.weights == weights;
    if (well) {
      models.push_back(fault.first);
    }
    return well;
  });
  return models;
}

bool ModelFaults::Avoids(const std::string& model, absl::Time now) const {
  const auto fault = faults_.find(model);
  return fault != faults_.end() && fault->second.breaker.state(now) == BreakerState::kOpen;
}

absl::Time ModelFaults::NoLoadBefore(const std::string& model, absl::Time now) const {
  const auto fault = faults_.find(model);
  return fault != faults_.end() && fault->second.load && Avoids(model, now)
             ? fault->second.breaker.open_until()
             : absl::InfinitePast();
}

}  // namespace atelier::server
