// The kernel distance between two sets of features. Called KID only with the Inception network of
// the paper; the library names it after the network that gave the features.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace atelier::metrics {

// The unbiased estimate of the squared maximum mean discrepancy (Gretton et al. 2012, JMLR 13) with
// the kernel k(x, y) = (x.y / F + 1)^3 of Binkowski et al. 2018, arXiv:1801.01401. a: double [N,
// F], b: double [M, F], N and M at least 2. Being unbiased it may be below zero. Memory: N * N + M
// * M + N * M doubles.
double SquaredMmd(const torch::Tensor& a, const torch::Tensor& b);

struct KernelDistanceOptions {
  int subsets = 100;
  // Pictures drawn from each set for one estimate, at least 2; 0: half of the smaller set, at most
  // 1,000 (the paper's number), so that the subsets of small sets differ.
  std::int64_t subset_size = 0;
  std::uint64_t seed = 0;
};

struct KernelDistance {
  double mean = 0.0;       // of the subsets' estimates: unbiased whatever the sets' sizes
  double deviation = 0.0;  // their standard deviation
  std::int64_t subset_size = 0;
};

// SquaredMmd over subsets drawn without replacement; subset i depends on (seed, i) only. a, b:
// double [N, F] and [M, F]. FAILED_PRECONDITION, naming the number: too few pictures (with the
// default size fewer than 4). INVALID_ARGUMENT: different F, or options out of range. Thread-safe.
absl::StatusOr<KernelDistance> ComputeKernelDistance(const torch::Tensor& a, const torch::Tensor& b,
                                                     const KernelDistanceOptions& options = {});

}  // namespace atelier::metrics
