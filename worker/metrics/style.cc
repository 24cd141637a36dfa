#include "worker/metrics/style.h"

#include <torch/torch.h>

#include "common/check.h"

namespace atelier::metrics {
namespace {

torch::Tensor Gram(const torch::Tensor& features) {
  const torch::Tensor flat = features.flatten(2).squeeze(0).to(torch::kDouble);
  return torch::mm(flat, flat.t()) / static_cast<double>(flat.size(1));
}

}  // namespace

void StyleTarget::Add(const std::vector<torch::Tensor>& layers) {
  ATELIER_CHECK(!layers.empty() && (sums_.empty() || sums_.size() == layers.size()));
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const torch::Tensor gram = Gram(layers[i]);
    if (count_ == 0) {
      sums_.push_back(gram);
    } else {
      sums_[i] += gram;
    }
  }
  ++count_;
}

double StyleTarget::Distance(const std::vector<torch::Tensor>& layers) const {
  ATELIER_CHECK(count_ > 0 && layers.size() == sums_.size());
  double distance = 0.0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const torch::Tensor mean = sums_[i] / static_cast<double>(count_);
    distance += ((Gram(layers[i]) - mean).norm() / mean.norm()).item<double>();
  }
  return distance;
}

absl::StatusOr<double> StyleGain(double result_distance, double photo_distance) {
  if (photo_distance <= 0.0) {
    return absl::InvalidArgumentError(
        "the photograph has the paintings' style already, so there is no way to gain on");
  }
  return 1.0 - result_distance / photo_distance;
}

}  // namespace atelier::metrics
