#include "worker/metrics/frechet.h"

#include <torch/torch.h>

#include <algorithm>
#include <string>

#include "common/status_macros.h"
#include "worker/infer/guard.h"
#include "worker/metrics/set_checks.h"

namespace atelier::metrics {
namespace {

// Of a symmetric positive semidefinite matrix. Rounding makes eigenvalues of zero slightly
// negative.
torch::Tensor SymmetricRoot(const torch::Tensor& matrix) {
  const auto [values, vectors] = torch::linalg_eigh(matrix);
  return torch::mm(vectors * values.clamp_min(0.0).sqrt(), vectors.t());
}

double TraceOfRootOfProduct(const torch::Tensor& a, const torch::Tensor& b) {
  const torch::Tensor root = SymmetricRoot(a);
  const torch::Tensor product = torch::mm(torch::mm(root, b), root);
  const torch::Tensor values = torch::linalg_eigvalsh((product + product.t()) / 2.0);
  return values.clamp_min(0.0).sqrt().sum().item<double>();
}

absl::Status CheckSets(std::int64_t width_a, std::int64_t width_b, std::int64_t count_a,
                       std::int64_t count_b) {
  ATELIER_RETURN_IF_ERROR(CheckWidths(width_a, width_b));
  return CheckCounts("the Frechet distance", count_a, count_b, width_a + 1,
                     "one more than the network has features");
}

}  // namespace

absl::StatusOr<double> FrechetDistance(const Moments& a, const Moments& b) {
  ATELIER_RETURN_IF_ERROR(CheckSets(a.mean.size(0), b.mean.size(0), a.count, b.count));
  return infer::Guarded("computing the Frechet distance", [&]() -> absl::StatusOr<double> {
    const double means = (a.mean - b.mean).square().sum().item<double>();
    const double traces = (a.covariance.trace() + b.covariance.trace()).item<double>();
    const double distance = means + traces - 2.0 * TraceOfRootOfProduct(a.covariance, b.covariance);
    return std::max(0.0, distance);
  });
}

absl::StatusOr<double> FrechetDistance(const FeatureStatistics& a, const FeatureStatistics& b) {
  // Before the moments, which are not defined for a single picture.
  ATELIER_RETURN_IF_ERROR(CheckSets(a.width(), b.width(), a.count(), b.count()));
  return FrechetDistance(a.ComputeMoments(), b.ComputeMoments());
}

}  // namespace atelier::metrics
