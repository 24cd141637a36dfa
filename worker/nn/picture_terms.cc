#include "worker/nn/picture_terms.h"

#include <torch/torch.h>

namespace atelier::nn {

torch::Tensor Gram(const torch::Tensor& features) {
  const torch::Tensor f = features.to(torch::kFloat32).permute({0, 2, 3, 1}).flatten(1, 2);
  return torch::matmul(f.transpose(1, 2), f) / static_cast<double>(f.size(1));
}

torch::Tensor FeatureDistance(const torch::Tensor& features, const torch::Tensor& target) {
  const torch::Tensor t = target.to(torch::kFloat32);
  const torch::Tensor difference = features.to(torch::kFloat32) - t;
  return (difference * difference).mean({1, 2, 3}) / (t * t).mean({1, 2, 3});
}

torch::Tensor TotalVariation(const torch::Tensor& pictures) {
  return pictures.diff(1, 2).abs().mean() + pictures.diff(1, 3).abs().mean();
}

}  // namespace atelier::nn
