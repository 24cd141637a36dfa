// The Fréchet distance between two sets of features. Called FID only with the Inception network of
// the paper; the library names it after the network that gave the features.
#pragma once

#include "absl/status/statusor.h"
#include "worker/metrics/feature_statistics.h"

namespace atelier::metrics {

// The squared Fréchet distance between the Gaussians with these moments,
//   |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1^1/2 S2 S1^1/2)^1/2)
// (Dowson and Landau 1982; for generative models Heusel et al. 2017, arXiv:1706.08500). The product
// under the root is symmetric, hence its eigenvalues are real and two symmetric eigenvalue problems
// in double solve it; the root of S1 S2, which is not symmetric, goes wrong on nearly singular
// covariances. Symmetric in its arguments, 0 for equal ones.
//
// FAILED_PRECONDITION, naming the number: a set has fewer pictures than features plus one, so that
// its covariance is singular and the distance depends on the number of pictures more than on the
// pictures. INVALID_ARGUMENT: different numbers of features. INTERNAL: no convergence. Thread-safe.
absl::StatusOr<double> FrechetDistance(const Moments& a, const Moments& b);
absl::StatusOr<double> FrechetDistance(const FeatureStatistics& a, const FeatureStatistics& b);

}  // namespace atelier::metrics
