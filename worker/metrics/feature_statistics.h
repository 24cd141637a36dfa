// The features of a set of pictures, gathered picture by picture, and their moments.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace atelier::metrics {

struct Moments {
  std::int64_t count = 0;
  torch::Tensor mean;        // double [F]
  torch::Tensor covariance;  // double [F, F], unbiased: divided by count - 1
};

// Grows by one batch at a time. Holds the features as they come (80 float32 numbers a picture with
// EfficientNet-Lite1); all sums are in double. Const calls are thread-safe.
class FeatureStatistics {
 public:
  // features: floating-point [F] or [N, F]; copied. INVALID_ARGUMENT: NaN or infinity among them,
  // or another F than before; nothing is added then.
  absl::Status Add(const torch::Tensor& features);

  std::int64_t count() const { return count_; }
  // F; 0 as long as nothing was added.
  std::int64_t width() const { return width_; }

  // All of them in the order they came, double [count, F].
  torch::Tensor Features() const;

  // Of at least two pictures. Two passes over the features, so that a mean far from zero costs no
  // digits.
  Moments ComputeMoments() const;

 private:
  std::vector<torch::Tensor> batches_;  // [N, F] each
  std::int64_t count_ = 0;
  std::int64_t width_ = 0;
};

}  // namespace atelier::metrics
