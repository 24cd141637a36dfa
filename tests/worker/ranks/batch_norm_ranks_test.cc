// A batch norm over the ranks' halves of a batch is the batch norm of the batch.
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>

#include "tests/worker/ranks/rank_threads.h"
#include "worker/nn/batch_norm.h"
#include "worker/nn/norms.h"

namespace atelier::nn {
namespace {

constexpr int kChannels = 5;

torch::Tensor Random(std::uint64_t seed) {
  const auto random = at::detail::createCPUGenerator(seed);
  // A mean far from 0: what a careless variance would lose its digits to.
  return torch::randn({4, kChannels, 6, 7}, random, torch::kFloat32) * 0.5 + 20;
}

void SetWeights(BatchNorm& norm) {
  const torch::NoGradGuard no_grad;
  norm->weight.copy_(torch::linspace(0.5, 2, kChannels));
  norm->bias.copy_(torch::linspace(-1, 1, kChannels));
}

// What a step through a norm gives: outputs, gradients of a loss and of a penalty on its slope.
struct Passed {
  torch::Tensor y;
  torch::Tensor dx;
  torch::Tensor dweight;
  torch::Tensor dbias;
  torch::Tensor penalty_dx;
};

// `ranks` times the mean over the ranks is the sum, which is what a loss over the batch is here.
Passed Pass(BatchNorm& norm, const torch::Tensor& pictures, const torch::Tensor& weights) {
  const torch::Tensor x = pictures.clone().requires_grad_();
  Passed passed;
  passed.y = norm->forward(x);
  const torch::Tensor loss = (passed.y.pow(3) * weights).sum();
  const torch::Tensor slope =
      torch::autograd::grad({loss}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true)[0];
  passed.dx = slope.detach();
  passed.penalty_dx =
      torch::autograd::grad({slope.pow(2).sum()}, {x}, {}, /*retain_graph=*/true)[0];
  norm->zero_grad();
  loss.backward();
  passed.dweight = norm->weight.grad().clone();
  passed.dbias = norm->bias.grad().clone();
  return passed;
}

TEST(BatchNormRanksTest, HalvesOnTwoRanksAreTheWholeAlsoInSecondDerivatives) {
  const torch::Tensor pictures = Random(1);
  const torch::Tensor weights = Random(2) / 20;
  torch::nn::BatchNorm2d reference(kChannels);
  BatchNorm alone(kChannels);
  SetWeights(alone);
  const Passed whole = Pass(alone, pictures, weights);
  {
    const torch::NoGradGuard no_grad;
    reference->weight.copy_(alone->weight);
    reference->bias.copy_(alone->bias);
  }
  EXPECT_TRUE(torch::equal(whole.y, reference->forward(pictures)));

  std::array<Passed, 2> halves;
  ranks::OnRanks(2, [&](ranks::RankGroup& group) {
    BatchNorm norm(kChannels);
    SetWeights(norm);
    norm->Synchronize(
        {.sum = [&](const torch::Tensor& tensor) { group.Sum(tensor); }, .ranks = group.size()});
    const std::int64_t first = std::int64_t{2} * group.rank();
    halves[static_cast<std::size_t>(group.rank())] =
        Pass(norm, pictures.narrow(0, first, 2), weights.narrow(0, first, 2));
    EXPECT_TRUE(torch::allclose(norm->running_mean, alone->running_mean, 1e-6, 1e-6));
    EXPECT_TRUE(torch::allclose(norm->running_var, alone->running_var, 1e-5, 1e-6));
    EXPECT_EQ(norm->num_batches_tracked.item<int>(), 1);
    // Evaluation looks at nobody else.
    norm->eval();
    EXPECT_EQ(norm->forward(pictures.narrow(0, 0, 1)).size(0), 1);
    EXPECT_TRUE(group.status().ok());
  });
  const auto both = [&](torch::Tensor Passed::* member) {
    return torch::cat({halves[0].*member, halves[1].*member});
  };
  // Pictures of deviation 0.5 around 20 leave five of fp32's seven digits.
  EXPECT_TRUE(torch::allclose(both(&Passed::y), whole.y, 1e-4, 1e-4));
  EXPECT_TRUE(torch::allclose(both(&Passed::dx), whole.dx, 1e-3, 1e-3));
  EXPECT_TRUE(torch::allclose(halves[0].dweight + halves[1].dweight, whole.dweight, 1e-3, 1e-2));
  EXPECT_TRUE(torch::allclose(halves[0].dbias + halves[1].dbias, whole.dbias, 1e-3, 1e-2));
  const double scale = whole.penalty_dx.abs().max().item<double>();
  EXPECT_TRUE(torch::allclose(both(&Passed::penalty_dx), whole.penalty_dx, 1e-3, 1e-3 * scale));
  EXPECT_GT((halves[0].dbias - whole.dbias).abs().max().item<double>(), 0.1) << "nothing is shared";
}

}  // namespace
}  // namespace atelier::nn
