#include "worker/nn/instance_norm.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>
#include <vector>

#include "worker/nn/instance_norm_cpu.h"

namespace atelier::nn {
namespace {

// LibTorch's own in double precision.
torch::Tensor Reference(const torch::Tensor& x, const torch::Tensor& weight,
                        const torch::Tensor& bias) {
  const auto wide = [](const torch::Tensor& t) { return t.defined() ? t.to(torch::kDouble) : t; };
  return torch::instance_norm(wide(x), wide(weight), wide(bias), {}, {}, /*use_input_stats=*/true,
                              0.0, kInstanceNormEps,
                              /*cudnn_enabled=*/false);
}

torch::Tensor RandomTensor(torch::IntArrayRef shape) {
  static at::Generator random = at::make_generator<at::CPUGeneratorImpl>(11);
  return torch::randn(shape, random);
}

double Worst(const torch::Tensor& a, const torch::Tensor& b) {
  return (a.to(torch::kDouble) - b.to(torch::kDouble)).abs().max().item<double>();
}

std::vector<std::vector<std::int64_t>> Shapes() {
  return {{1, 3, 1, 2}, {2, 5, 7, 9}, {3, 24, 33, 47}, {1, 64, 40, 60}};
}

TEST(InstanceNorm, EqualsTheReference) {
  const torch::NoGradGuard no_grad;
  for (const auto& shape : Shapes()) {
    const torch::Tensor x = RandomTensor(shape) * 3 + 1;
    const torch::Tensor weight = RandomTensor({shape[1]});
    const torch::Tensor bias = RandomTensor({shape[1]});
    EXPECT_LT(Worst(InstanceNormalize(x, weight, bias), Reference(x, weight, bias)), 1e-5);
    EXPECT_LT(Worst(InstanceNormalize(x, {}, {}), Reference(x, {}, {})), 1e-5);
    const torch::Tensor half = x.to(torch::kBFloat16);
    const torch::Tensor y = InstanceNormalize(half, weight.to(torch::kBFloat16), bias);
    EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
    EXPECT_LT(Worst(y, Reference(half, weight.to(torch::kBFloat16), bias)), 0.05);
  }
}

TEST(InstanceNorm, RoundsToBfloat16AsLibTorchDoes) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = RandomTensor({1, 16, 20, 20}).to(torch::kBFloat16);
  const torch::Tensor fine = InstanceNormalize(x.to(torch::kFloat), {}, {});
  EXPECT_TRUE(torch::equal(InstanceNormalize(x, {}, {}), fine.to(torch::kBFloat16)));
}

TEST(InstanceNorm, KeepsItsPrecisionWithManyPixelsAndALargeMean) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor x =
      (RandomTensor({1, 2, 2048, 2048}) + 100).contiguous(torch::MemoryFormat::ChannelsLast);
  EXPECT_LT(Worst(InstanceNormalize(x, {}, {}), Reference(x, {}, {})), 1e-4);
}

TEST(InstanceNorm, GivesABlankChannelItsBias) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor y = InstanceNormalize(
      torch::full({1, 2, 5, 5}, 0.3F), torch::tensor({2.0F, 3.0F}), torch::tensor({0.5F, -1.0F}));
  EXPECT_TRUE(torch::equal(y[0][0], torch::full({5, 5}, 0.5F)));
  EXPECT_TRUE(torch::equal(y[0][1], torch::full({5, 5}, -1.0F)));
}

TEST(InstanceNorm, DoesNotHideBrokenNumbers) {
  const torch::NoGradGuard no_grad;
  torch::Tensor x = RandomTensor({1, 2, 5, 5}).to(torch::kBFloat16);
  x[0][0][2][2] = std::nan("");
  const torch::Tensor y = InstanceNormalize(x, {}, {});
  EXPECT_TRUE(torch::isnan(y[0][0]).all().item<bool>());
  EXPECT_FALSE(torch::isnan(y[0][1]).any().item<bool>());
}

TEST(InstanceNorm, DependsOnNeitherBatchNorThreadsByOneBit) {
  const torch::NoGradGuard no_grad;
  const int threads = at::get_num_threads();
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    const torch::Tensor x = RandomTensor({3, 24, 61, 83}).to(type);
    at::set_num_threads(1);
    const torch::Tensor one = InstanceNormalize(x, {}, {});
    at::set_num_threads(2);
    EXPECT_TRUE(torch::equal(InstanceNormalize(x, {}, {}), one));
    EXPECT_TRUE(torch::equal(InstanceNormalize(x.slice(0, 1, 2), {}, {}), one.slice(0, 1, 2)));
  }
  at::set_num_threads(threads);
}

TEST(InstanceNorm, HasTheReferencesGradients) {
  for (const auto& shape : Shapes()) {
    const torch::Tensor x = (RandomTensor(shape) * 2 + 1).requires_grad_();
    const torch::Tensor weight = RandomTensor({shape[1]}).requires_grad_();
    const torch::Tensor bias = RandomTensor({shape[1]}).requires_grad_();
    const torch::Tensor above = RandomTensor(shape);
    const auto actual = torch::autograd::grad({(InstanceNormalize(x, weight, bias) * above).sum()},
                                              {x, weight, bias});
    const auto expected =
        torch::autograd::grad({(Reference(x, weight, bias) * above).sum()}, {x, weight, bias});
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LT(Worst(actual[i], expected[i]), 2e-3 * (1 + expected[i].abs().max().item<double>()))
          << i;
    }
  }
}

TEST(InstanceNorm, PassesGradientsOfBfloat16) {
  const torch::Tensor x = RandomTensor({2, 8, 20, 30}).to(torch::kBFloat16).requires_grad_();
  const torch::Tensor weight = RandomTensor({8}).requires_grad_();
  const torch::Tensor above = RandomTensor({2, 8, 20, 30});
  const auto actual = torch::autograd::grad(
      {(InstanceNormalize(x, weight, {}).to(torch::kFloat) * above).sum()}, {x, weight});
  const auto expected = torch::autograd::grad(
      {(Reference(x, weight, {}) * above.to(torch::kDouble)).sum()}, {x, weight});
  EXPECT_EQ(actual[0].scalar_type(), torch::kBFloat16);
  EXPECT_LT(Worst(actual[0], expected[0]), 0.05);
  EXPECT_LT(Worst(actual[1], expected[1]), 0.5);
}

// What a gradient penalty asks for: the gradient of the length of a gradient.
TEST(InstanceNorm, HasTheReferencesSecondOrderGradients) {
  const torch::Tensor x = (RandomTensor({2, 3, 6, 7}) * 2 + 1).requires_grad_();
  const torch::Tensor weight = RandomTensor({3}).requires_grad_();
  const torch::Tensor bias = RandomTensor({3}).requires_grad_();
  const torch::Tensor above = RandomTensor({2, 3, 6, 7});
  const auto penalty_gradients = [&](auto norm) {
    const torch::Tensor y = (norm(x, weight, bias).pow(3) * above).sum();
    const torch::Tensor first =
        torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true)[0];
    return torch::autograd::grad({first.square().sum()}, {x, weight, bias});
  };
  const auto actual = penalty_gradients(InstanceNormalize);
  const auto expected = penalty_gradients(Reference);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LT(Worst(actual[i], expected[i]), 1e-4 * (1 + expected[i].abs().max().item<double>()))
        << i;
  }
}

}  // namespace
}  // namespace atelier::nn
