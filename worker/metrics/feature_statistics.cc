#include "worker/metrics/feature_statistics.h"

#include <torch/torch.h>

#include <string>

#include "common/check.h"

namespace atelier::metrics {

absl::Status FeatureStatistics::Add(const torch::Tensor& features) {
  const torch::Tensor rows = features.dim() == 1 ? features.unsqueeze(0) : features;
  ATELIER_CHECK(rows.dim() == 2 && rows.size(1) > 0 && rows.is_floating_point());
  if (width_ != 0 && rows.size(1) != width_) {
    return absl::InvalidArgumentError("a picture has " + std::to_string(rows.size(1)) +
                                      " features where those before had " + std::to_string(width_));
  }
  if (!torch::isfinite(rows).all().item<bool>()) {
    return absl::InvalidArgumentError("the features hold NaN or infinity");
  }
  batches_.push_back(rows.detach().cpu().clone());
  count_ += rows.size(0);
  width_ = rows.size(1);
  return absl::OkStatus();
}

torch::Tensor FeatureStatistics::Features() const {
  torch::Tensor all = torch::empty({count_, width_}, torch::kDouble);
  std::int64_t row = 0;
  for (const torch::Tensor& batch : batches_) {
    all.narrow(0, row, batch.size(0)).copy_(batch);
    row += batch.size(0);
  }
  return all;
}

Moments FeatureStatistics::ComputeMoments() const {
  ATELIER_CHECK(count_ >= 2);
  torch::Tensor features = Features();
  const torch::Tensor mean = features.mean(0);
  features -= mean;
  const torch::Tensor covariance =
      torch::mm(features.t(), features) / static_cast<double>(count_ - 1);
  return {.count = count_, .mean = mean, .covariance = covariance};
}

}  // namespace atelier::metrics
