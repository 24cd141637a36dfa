#include "worker/metrics/manifold.h"

#include <torch/torch.h>

#include <algorithm>
#include <functional>
#include <string>

#include "common/status_macros.h"
#include "worker/infer/guard.h"
#include "worker/metrics/set_checks.h"

namespace atelier::metrics {
namespace {

// Distances are computed for so many rows at a time: 8 MB for 1,000 pictures a set.
constexpr std::int64_t kRows = 1024;
// torch::cdist's number for differences rather than |a|^2 + |b|^2 - 2ab: equal pictures are exactly
// at distance zero.
constexpr std::int64_t kByDifferences = 2;

// Calls `consume(first_row, distances [rows, M])` for slices of the distances between a and b.
void ForDistances(const torch::Tensor& a, const torch::Tensor& b,
                  const std::function<void(std::int64_t, const torch::Tensor&)>& consume) {
  for (std::int64_t row = 0; row < a.size(0); row += kRows) {
    const std::int64_t rows = std::min(kRows, a.size(0) - row);
    consume(row, torch::cdist(a.narrow(0, row, rows), b, 2.0, kByDifferences));
  }
}

// Each picture's distance to its k-th nearest other, [N].
torch::Tensor NeighbourRadii(const torch::Tensor& features, int k) {
  torch::Tensor radii = torch::empty({features.size(0)}, torch::kDouble);
  ForDistances(features, features, [&](std::int64_t row, const torch::Tensor& distances) {
    // The nearest of all is the picture itself, at distance zero.
    radii.narrow(0, row, distances.size(0)).copy_(std::get<0>(distances.kthvalue(k + 1, 1)));
  });
  return radii;
}

double ShareAmong(const torch::Tensor& pictures, const torch::Tensor& set, int k) {
  const torch::Tensor radii = NeighbourRadii(set, k);
  std::int64_t inside = 0;
  ForDistances(pictures, set, [&](std::int64_t, const torch::Tensor& distances) {
    inside += (distances <= radii).any(1).sum().item<std::int64_t>();
  });
  return static_cast<double>(inside) / static_cast<double>(pictures.size(0));
}

}  // namespace

absl::StatusOr<PrecisionRecall> ComputePrecisionRecall(const torch::Tensor& real,
                                                       const torch::Tensor& generated,
                                                       int neighbours) {
  if (neighbours < 1) {
    return absl::InvalidArgumentError("precision and recall look at one neighbour or more");
  }
  ATELIER_RETURN_IF_ERROR(CheckWidths(real.size(1), generated.size(1)));
  ATELIER_RETURN_IF_ERROR(CheckCounts("precision and recall", real.size(0), generated.size(0),
                                      std::int64_t{neighbours} + 1,
                                      "one more than the neighbours looked at"));
  return infer::Guarded("computing precision and recall", [&]() -> absl::StatusOr<PrecisionRecall> {
    return PrecisionRecall{.precision = ShareAmong(generated, real, neighbours),
                           .recall = ShareAmong(real, generated, neighbours)};
  });
}

absl::StatusOr<double> ComputeDiversity(const torch::Tensor& features) {
  const std::int64_t n = features.size(0);
  if (n < 2) {
    return absl::FailedPreconditionError("diversity needs at least 2 pictures; there are " +
                                         std::to_string(n));
  }
  return infer::Guarded("computing diversity", [&]() -> absl::StatusOr<double> {
    double sum = 0.0;
    ForDistances(features, features, [&](std::int64_t, const torch::Tensor& distances) {
      sum += distances.sum().item<double>();
    });
    return sum / (static_cast<double>(n) * static_cast<double>(n - 1));
  });
}

}  // namespace atelier::metrics
