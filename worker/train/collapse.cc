#include "worker/train/collapse.h"

#include <cmath>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/train/saved_state.h"

namespace atelier::train {

double MeanPairwiseDistance(const torch::Tensor& samples) {
  ATELIER_CHECK(samples.size(0) >= 2);
  torch::NoGradGuard no_grad;
  const torch::Tensor rows = samples.to(torch::kFloat64).flatten(1);
  return torch::pdist(rows).mean().item<double>() / std::sqrt(static_cast<double>(rows.size(1)));
}

bool CollapseAlarm::Report(double generated, double real, double done) {
  // Written so that a distance which is no number counts as low.
  if (generated >= options_.ratio * real) {
    low_ = 0;
    differed_ = true;
    return false;
  }
  if (!differed_ && done < options_.counts_from) {
    return false;
  }
  ++low_;
  return low_ == options_.patience;
}

void CollapseAlarm::Save(const std::string& name, models::TensorMap& state) const {
  SaveNumbers(state, name + "#collapse", {static_cast<double>(low_)});
  SaveNumbers(state, name + "#differed", {differed_ ? 1.0 : 0.0});
}

absl::Status CollapseAlarm::Load(const std::string& name, const models::TensorMap& state) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<double> saved,
                           LoadNumbers(state, name + "#collapse", 1));
  low_ = static_cast<int>(saved[0]);
  differed_ = false;
  // Earlier releases did not note it.
  if (state.contains(name + "#differed")) {
    ATELIER_ASSIGN_OR_RETURN(const std::vector<double> differed,
                             LoadNumbers(state, name + "#differed", 1));
    differed_ = differed[0] != 0;
  }
  return absl::OkStatus();
}

bool BestByMetric::Report(std::int64_t step, double metric) {
  const bool first = step_ < 0;
  const bool best = std::isfinite(metric) && (first || metric < metric_);
  if (best && (first || metric < mark_ - least_)) {
    mark_ = metric;
    worse_ = 0;
  } else {
    ++worse_;
  }
  if (best) {
    step_ = step;
    metric_ = metric;
  }
  return best;
}

void BestByMetric::Save(const std::string& name, models::TensorMap& state) const {
  SaveNumbers(state, name + "#best",
              {static_cast<double>(step_), metric_, mark_, static_cast<double>(worse_)});
}

absl::Status BestByMetric::Load(const std::string& name, const models::TensorMap& state) {
  ATELIER_ASSIGN_OR_RETURN(const std::vector<double> saved, LoadNumbers(state, name + "#best", 4));
  step_ = static_cast<std::int64_t>(saved[0]);
  metric_ = saved[1];
  mark_ = saved[2];
  worse_ = static_cast<std::int64_t>(saved[3]);
  return absl::OkStatus();
}

}  // namespace atelier::train
