#include "worker/train/image_losses.h"

#include <torch/nn/functional/conv.h>

#include "common/check.h"
#include "worker/train/losses.h"

namespace atelier::train {
namespace {

torch::Tensor Float(const torch::Tensor& x) { return x.to(torch::kFloat32); }

struct Statistics {
  torch::Tensor mean;       // [N, C]
  torch::Tensor deviation;  // [N, C]
};

Statistics StatisticsOf(const torch::Tensor& features) {
  const torch::Tensor f = Float(features);
  const torch::Tensor variance = f.var(torch::IntArrayRef{2, 3}, /*unbiased=*/false);
  return {f.mean({2, 3}), (variance + 1e-5).sqrt()};
}

torch::Tensor UnitChannels(const torch::Tensor& features) {
  const torch::Tensor f = Float(features);
  return f / (Squared(f).sum(1, true) + 1e-10).sqrt();
}

// [N, (H - 2) (W - 2)].
torch::Tensor EdgeMap(const torch::Tensor& pictures) {
  const torch::Tensor x = Float(pictures);
  const torch::Tensor brightness =
      0.299 * x.narrow(1, 0, 1) + 0.587 * x.narrow(1, 1, 1) + 0.114 * x.narrow(1, 2, 1);
  const torch::Tensor across =
      torch::tensor({-1.0f, 0.0f, 1.0f, -2.0f, 0.0f, 2.0f, -1.0f, 0.0f, 1.0f}, x.options())
          .view({1, 1, 3, 3});
  const torch::Tensor gradient =
      torch::conv2d(brightness, torch::cat({across, across.transpose(2, 3)}));
  // Keeps the root differentiable where a picture is flat.
  return (Squared(gradient).sum(1) + 1e-6).sqrt().flatten(1);
}

}  // namespace

torch::Tensor AbsoluteDistance(const torch::Tensor& a, const torch::Tensor& b) {
  return torch::l1_loss(Float(a), Float(b));
}

torch::Tensor KlDivergence(const torch::Tensor& mean, const torch::Tensor& log_variance) {
  const torch::Tensor m = Float(mean);
  const torch::Tensor v = Float(log_variance);
  return 0.5 * (v.exp() + Squared(m) - 1.0 - v).flatten(1).sum(1).mean();
}

torch::Tensor FeatureMatching(const ScaleFeatures& fake, const ScaleFeatures& real) {
  ATELIER_CHECK(fake.size() == real.size());
  torch::Tensor sum;
  double layers = 0;
  for (std::size_t scale = 0; scale < fake.size(); ++scale) {
    ATELIER_CHECK(fake[scale].size() == real[scale].size());
    for (std::size_t layer = 0; layer < fake[scale].size(); ++layer) {
      const torch::Tensor distance =
          AbsoluteDistance(fake[scale][layer], real[scale][layer].detach());
      sum = sum.defined() ? sum + distance : distance;
      ++layers;
    }
  }
  ATELIER_CHECK(layers > 0);
  return sum / layers;
}

torch::Tensor ModeSeeking(const torch::Tensor& pictures_a, const torch::Tensor& pictures_b,
                          const torch::Tensor& code_a, const torch::Tensor& code_b) {
  const torch::Tensor ratio =
      AbsoluteDistance(pictures_a, pictures_b) / AbsoluteDistance(code_a, code_b);
  return 1.0 / (ratio + 1e-5);
}

torch::Tensor StatisticsDistance(const std::vector<torch::Tensor>& features,
                                 const std::vector<torch::Tensor>& style) {
  ATELIER_CHECK(!features.empty() && features.size() == style.size());
  torch::Tensor sum;
  for (std::size_t i = 0; i < features.size(); ++i) {
    const Statistics a = StatisticsOf(features[i]);
    const Statistics b = StatisticsOf(style[i]);
    const torch::Tensor distance =
        Squared(a.mean - b.mean).mean() + Squared(a.deviation - b.deviation).mean();
    sum = sum.defined() ? sum + distance : distance;
  }
  return sum;
}

torch::Tensor PerceptualDistance(const std::vector<torch::Tensor>& features,
                                 const std::vector<torch::Tensor>& target) {
  ATELIER_CHECK(!features.empty() && features.size() == target.size());
  torch::Tensor sum;
  for (std::size_t i = 0; i < features.size(); ++i) {
    const torch::Tensor distance =
        Squared(UnitChannels(features[i]) - UnitChannels(target[i])).sum(1).mean({1, 2});
    sum = sum.defined() ? sum + distance : distance;
  }
  return sum / static_cast<double>(features.size());
}

torch::Tensor StructureDistance(const torch::Tensor& pictures, const torch::Tensor& target) {
  const torch::Tensor a = EdgeMap(pictures);
  const torch::Tensor b = EdgeMap(target);
  const torch::Tensor ca = a - a.mean(1, true);
  const torch::Tensor cb = b - b.mean(1, true);
  const torch::Tensor covariance = (ca * cb).mean(1);
  const torch::Tensor variances = Squared(ca).mean(1) * Squared(cb).mean(1);
  return 1.0 - covariance / (variances + 1e-12).sqrt();
}

torch::Tensor SquaredWeights(const torch::nn::Module& module) {
  torch::Tensor sum;
  for (const torch::Tensor& weight : module.parameters()) {
    if (weight.dim() > 1) {
      const torch::Tensor square = Squared(Float(weight)).sum();
      sum = sum.defined() ? sum + square : square;
    }
  }
  ATELIER_CHECK(sum.defined());
  return sum;
}

}  // namespace atelier::train
