// How near a picture is to the manner of some paintings, by the Gram matrices of its features
// (Gatys, Ecker and Bethge 2015, arXiv:1508.06576). scripts/dev/evaluate-style.py gives the same
// numbers.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier::metrics {

// The mean Gram matrices of some paintings. Const calls are thread-safe.
class StyleTarget {
 public:
  // layers: a painting's features, [1, C, h, w] each, as LiteNetwork::Layers gives them.
  void Add(const std::vector<torch::Tensor>& layers);

  std::int64_t count() const { return count_; }

  // The style distance d(x): the sum over the layers of sqrt(|G(x) - M|^2 / |M|^2), where G = F F^T
  // / (h w) and M is the mean of the paintings' G. At least one painting. 0: exactly their manner.
  double Distance(const std::vector<torch::Tensor>& layers) const;

 private:
  std::vector<torch::Tensor> sums_;  // double [C, C] a layer
  std::int64_t count_ = 0;
};

// 1 - d(result) / d(photo): the share of the way from the photograph to the paintings; 0: no nearer
// than the photograph was, below 0: further away. INVALID_ARGUMENT: the photograph's distance is 0.
absl::StatusOr<double> StyleGain(double result_distance, double photo_distance);

}  // namespace atelier::metrics
