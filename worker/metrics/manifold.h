// Metrics that look at the neighbourhoods of single pictures in the space of features. Pure
// functions, thread-safe; O(N * M * F) time, memory bounded.
#pragma once

#include <torch/types.h>

#include "absl/status/statusor.h"

namespace atelier::metrics {

struct PrecisionRecall {
  double precision = 0.0;  // share of the generated pictures that lie among the real ones: quality
  double recall = 0.0;     // share of the real pictures that lie among the generated ones: coverage
};

// Kynkaanniemi et al. 2019, arXiv:1904.06991: a picture lies among a set when its distance to some
// member is at most that member's distance to its `neighbours`-th nearest other member. real:
// double [N, F], generated: double [M, F]. FAILED_PRECONDITION, naming the number: a set has no
// more than `neighbours` pictures. INVALID_ARGUMENT: different F, or neighbours below 1.
absl::StatusOr<PrecisionRecall> ComputePrecisionRecall(const torch::Tensor& real,
                                                       const torch::Tensor& generated,
                                                       int neighbours = 3);

// Mean Euclidean distance over all pairs of different pictures of one set, double [N, F]; 0 when a
// generator has collapsed to one picture. FAILED_PRECONDITION: fewer than two pictures.
absl::StatusOr<double> ComputeDiversity(const torch::Tensor& features);

}  // namespace atelier::metrics
