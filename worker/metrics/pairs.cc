#include "worker/metrics/pairs.h"

#include <torch/torch.h>

#include <string>

#include "common/check.h"
#include "worker/infer/guard.h"

namespace atelier::metrics {
namespace {

constexpr std::int64_t kWindow = 11;
constexpr double kSigma = 1.5;
constexpr double kC1 = (0.01 * 255) * (0.01 * 255);
constexpr double kC2 = (0.03 * 255) * (0.03 * 255);
// Added to the length of a vector of channels, as LPIPS' code does.
constexpr double kLengthEps = 1e-10;

torch::Tensor Luma(const torch::Tensor& picture) {
  const torch::Tensor weights = torch::tensor({0.299, 0.587, 0.114}, torch::kDouble);
  return torch::matmul(picture.to(torch::kDouble), weights);
}

// Gaussian-weighted means of maps [N, 1, H, W] under the window.
torch::Tensor Smooth(const torch::Tensor& maps) {
  const torch::Tensor x = torch::arange(kWindow, torch::kDouble) - (kWindow - 1) / 2.0;
  torch::Tensor weights = torch::exp(x.square() / (-2.0 * kSigma * kSigma));
  weights = weights / weights.sum();
  return torch::conv2d(torch::conv2d(maps, weights.view({1, 1, -1, 1})),
                       weights.view({1, 1, 1, -1}));
}

double MeanSsim(const torch::Tensor& x, const torch::Tensor& y) {
  const torch::Tensor means =
      Smooth(torch::stack({x, y, x.square(), y.square(), x * y}).unsqueeze(1)).squeeze(1);
  const torch::Tensor mean_x = means[0];
  const torch::Tensor mean_y = means[1];
  const torch::Tensor variances = means[2] - mean_x.square() + means[3] - mean_y.square();
  const torch::Tensor covariance = means[4] - mean_x * mean_y;
  const torch::Tensor numerator = (2.0 * mean_x * mean_y + kC1) * (2.0 * covariance + kC2);
  const torch::Tensor denominator = (mean_x.square() + mean_y.square() + kC1) * (variances + kC2);
  return (numerator / denominator).mean().item<double>();
}

torch::Tensor UnitChannels(const torch::Tensor& features) {
  const torch::Tensor values = features.to(torch::kDouble);
  return values / (values.square().sum(1, /*keepdim=*/true).sqrt() + kLengthEps);
}

}  // namespace

absl::StatusOr<double> Ssim(const torch::Tensor& a, const torch::Tensor& b) {
  ATELIER_CHECK(a.dim() == 3 && a.size(2) == 3 && b.dim() == 3 && b.size(2) == 3);
  if (a.sizes() != b.sizes()) {
    return absl::InvalidArgumentError("structural similarity compares pictures of one size");
  }
  if (a.size(0) < kWindow || a.size(1) < kWindow) {
    return absl::InvalidArgumentError("structural similarity needs sides of at least " +
                                      std::to_string(kWindow) + " px");
  }
  return infer::Guarded("computing structural similarity",
                        [&]() -> absl::StatusOr<double> { return MeanSsim(Luma(a), Luma(b)); });
}

double FeatureDistance(const Layers& a, const Layers& b) {
  ATELIER_CHECK(a.size() == b.size() && !a.empty());
  double distance = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ATELIER_CHECK(a[i].sizes() == b[i].sizes());
    const torch::Tensor difference = UnitChannels(a[i]) - UnitChannels(b[i]);
    distance += difference.square().sum(1).mean().item<double>();
  }
  return distance;
}

double ContentSimilarity(const Layers& a, const Layers& b) {
  ATELIER_CHECK(!a.empty() && !b.empty() && a.back().sizes() == b.back().sizes());
  return torch::cosine_similarity(a.back().flatten().to(torch::kDouble),
                                  b.back().flatten().to(torch::kDouble), 0)
      .item<double>();
}

}  // namespace atelier::metrics
