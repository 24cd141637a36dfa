#include "worker/train/losses.h"

#include <torch/nn/functional.h>

#include <optional>

namespace atelier::train {
namespace {

namespace F = torch::nn::functional;

torch::Tensor Luminance(const torch::Tensor& pictures) {
  return 0.299 * pictures.narrow(1, 0, 1) + 0.587 * pictures.narrow(1, 1, 1) +
         0.114 * pictures.narrow(1, 2, 1);
}

torch::Tensor NormalizedLuminance(const torch::Tensor& pictures) {
  // Keeps the noise of a flat picture from being blown up to full contrast.
  constexpr double kFlat = 0.003;
  const torch::Tensor y = F::avg_pool2d(Luminance(pictures), F::AvgPool2dFuncOptions(2));
  const torch::Tensor centred = y - y.mean({2, 3}, true);
  return centred / (Squared(centred).mean({2, 3}, true) + kFlat).sqrt();
}

torch::Tensor NormalizedChroma(const torch::Tensor& pictures) {
  constexpr double kFlat = 0.01;
  const torch::Tensor small = F::avg_pool2d(pictures, F::AvgPool2dFuncOptions(8));
  const torch::Tensor y = Luminance(small);
  torch::Tensor chroma = torch::cat({small.narrow(1, 2, 1) - y, small.narrow(1, 0, 1) - y}, 1);
  chroma = chroma - chroma.mean({2, 3}, true);
  return chroma / (Squared(chroma).sum(1, true).mean({2, 3}, true) + kFlat).sqrt();
}

}  // namespace

torch::Tensor GramDistance(const torch::Tensor& gram, const torch::Tensor& target) {
  const torch::Tensor ratio = Squared(gram - target).sum({-1, -2}) / Squared(target).sum({-1, -2});
  return (ratio + 1e-4).sqrt();
}

torch::Tensor CosineDistance(const torch::Tensor& features, const torch::Tensor& target) {
  return 1.0 - F::cosine_similarity(features.to(torch::kFloat32).flatten(1),
                                    target.to(torch::kFloat32).flatten(1),
                                    F::CosineSimilarityFuncOptions().dim(1));
}

torch::Tensor SlicedWasserstein(const torch::Tensor& a, const torch::Tensor& b,
                                const torch::Tensor& directions) {
  const torch::Tensor pa = std::get<0>(torch::matmul(directions, a).sort(-1));
  const torch::Tensor pb = std::get<0>(torch::matmul(directions, b).sort(-1));
  return (pa - pb).abs().mean({1, 2});
}

torch::Tensor ColorCloud(const torch::Tensor& pictures, std::int64_t stride, std::int64_t top,
                         std::int64_t left) {
  return pictures.slice(2, top, std::nullopt, stride)
      .slice(3, left, std::nullopt, stride)
      .flatten(2);
}

torch::Tensor LuminanceDistance(const torch::Tensor& pictures, const torch::Tensor& target) {
  return Squared(NormalizedLuminance(pictures) - NormalizedLuminance(target)).mean({1, 2, 3});
}

torch::Tensor ChromaDistance(const torch::Tensor& pictures, const torch::Tensor& target) {
  return Squared(NormalizedChroma(pictures) - NormalizedChroma(target)).sum(1).mean({1, 2});
}

}  // namespace atelier::train
