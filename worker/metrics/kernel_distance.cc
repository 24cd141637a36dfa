#include "worker/metrics/kernel_distance.h"

#include <torch/torch.h>

#include <algorithm>
#include <string>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/infer/guard.h"
#include "worker/metrics/set_checks.h"

namespace atelier::metrics {
namespace {

constexpr std::int64_t kMaxDefaultSubset = 1000;

torch::Tensor Kernel(const torch::Tensor& a, const torch::Tensor& b) {
  return (torch::mm(a, b.t()) / static_cast<double>(a.size(1)) + 1.0).pow(3);
}

// The mean of k over pairs of different pictures of one set.
double MeanWithin(const torch::Tensor& a) {
  const torch::Tensor kernel = Kernel(a, a);
  const auto n = static_cast<double>(a.size(0));
  return (kernel.sum() - kernel.trace()).item<double>() / (n * (n - 1.0));
}

torch::Tensor Subset(const torch::Tensor& features, std::int64_t size, at::Generator& random) {
  const torch::Tensor order = torch::randperm(features.size(0), random, torch::kLong);
  return features.index_select(0, order.narrow(0, 0, size));
}

absl::StatusOr<std::int64_t> SubsetSize(const torch::Tensor& a, const torch::Tensor& b,
                                        const KernelDistanceOptions& options) {
  if (options.subsets < 1 || options.subset_size < 0 || options.subset_size == 1) {
    return absl::InvalidArgumentError(
        "the kernel distance wants at least one subset, and subsets of 2 pictures or more");
  }
  const bool by_default = options.subset_size == 0;
  ATELIER_RETURN_IF_ERROR(CheckCounts("the kernel distance", a.size(0), b.size(0),
                                      by_default ? 4 : options.subset_size,
                                      by_default ? "two subsets of two" : "the size of a subset"));
  const std::int64_t half = std::min(a.size(0), b.size(0)) / 2;
  return by_default ? std::min(kMaxDefaultSubset, half) : options.subset_size;
}

}  // namespace

double SquaredMmd(const torch::Tensor& a, const torch::Tensor& b) {
  ATELIER_CHECK(a.dim() == 2 && b.dim() == 2 && a.size(0) >= 2 && b.size(0) >= 2);
  return MeanWithin(a) + MeanWithin(b) - 2.0 * Kernel(a, b).mean().item<double>();
}

absl::StatusOr<KernelDistance> ComputeKernelDistance(const torch::Tensor& a, const torch::Tensor& b,
                                                     const KernelDistanceOptions& options) {
  ATELIER_RETURN_IF_ERROR(CheckWidths(a.size(1), b.size(1)));
  ATELIER_ASSIGN_OR_RETURN(const std::int64_t size, SubsetSize(a, b, options));
  return infer::Guarded("computing the kernel distance", [&]() -> absl::StatusOr<KernelDistance> {
    std::vector<double> estimates;
    for (int i = 0; i < options.subsets; ++i) {
      // A generator a subset, so that the number of subsets changes none of them.
      at::Generator random = at::make_generator<at::CPUGeneratorImpl>(
          options.seed * 1'000'003 + static_cast<std::uint64_t>(i));
      const torch::Tensor some_a = Subset(a, size, random);
      estimates.push_back(SquaredMmd(some_a, Subset(b, size, random)));
    }
    const torch::Tensor values = torch::tensor(estimates, torch::kDouble);
    return KernelDistance{.mean = values.mean().item<double>(),
                          .deviation = values.std(/*unbiased=*/false).item<double>(),
                          .subset_size = size};
  });
}

}  // namespace atelier::metrics
