// Networks that learn: the optimiser against LibTorch's own, skipped steps, the discriminator's
// loss; and what follows from a metric.
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <string>

#include "common/family.h"
#include "tests/worker/train/parts.h"
#include "worker/models/safetensors.h"
#include "worker/train/adversary.h"
#include "worker/train/learner.h"
#include "worker/train/metric_watch.h"

namespace atelier::train {
namespace {

using models::TensorMap;
using ::testing::DoubleEq;
using ::testing::DoubleNear;

// Convolutions of every layout that gradients come in, and a vector.
std::shared_ptr<torch::nn::SequentialImpl> SomeNetwork() {
  torch::manual_seed(3);
  auto network = std::make_shared<torch::nn::SequentialImpl>();
  network->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 8, 3)));
  network->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 1, 1)));
  network->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 8, 5)));
  return network;
}

// The plain reference of the fused update.
TEST(LearnerTest, StepsAsTorchsAdamDoes) {
  const auto network = SomeNetwork();
  const auto reference = SomeNetwork();
  Learner learner("network", network, {.learning_rate = 0.01, .beta1 = 0.5, .beta2 = 0.99});
  torch::optim::Adam adam(reference->parameters(),
                          torch::optim::AdamOptions(0.01).betas({0.5, 0.99}));
  for (int step = 0; step < 30; ++step) {
    const torch::Tensor x =
        torch::randn({2, 3, 9, 9}, at::detail::createCPUGenerator(100 + step), torch::kFloat32);
    const double share = step < 10 ? 1.0 : 0.3;
    learner.SetRateShare(share);
    static_cast<torch::optim::AdamOptions&>(adam.param_groups()[0].options()).lr(0.01 * share);
    learner.ZeroGradients();
    adam.zero_grad();
    network->forward(x).square().mean().backward();
    reference->forward(x).square().mean().backward();
    EXPECT_TRUE(learner.Step());
    adam.step();
  }
  const auto expected = reference->named_parameters();
  for (const auto& item : network->named_parameters()) {
    const torch::Tensor error = (item.value() - expected[item.key()]).abs();
    EXPECT_LT(error.max().item<double>(), 2e-6) << item.key();
  }
}

// Gradients of very different sizes, so that some are cut and others are not: Adam itself does not
// see a size that stays. With a scale, as those of fp16, they are cut at their true size.
TEST(LearnerTest, ClipsGradientsAsTorchDoes) {
  constexpr double kMost = 0.5;
  constexpr double kSizes[] = {0.01, 30, 1, 1e4, 0.1, 100};
  for (const double scale : {1.0, 4096.0}) {
    const auto network = SomeNetwork();
    const auto reference = SomeNetwork();
    Learner learner("network", network,
                    {.learning_rate = 0.01, .beta1 = 0.5, .beta2 = 0.99, .gradient_clip = kMost});
    torch::optim::Adam adam(reference->parameters(),
                            torch::optim::AdamOptions(0.01).betas({0.5, 0.99}));
    int cut = 0;
    for (std::size_t i = 0; i < std::size(kSizes); ++i) {
      const torch::Tensor x =
          torch::randn({2, 3, 9, 9}, at::detail::createCPUGenerator(100 + i), torch::kFloat32);
      learner.ZeroGradients();
      adam.zero_grad();
      (network->forward(x).square().mean() * (kSizes[i] * scale)).backward();
      (reference->forward(x).square().mean() * kSizes[i]).backward();
      cut += torch::nn::utils::clip_grad_norm_(reference->parameters(), kMost) > kMost ? 1 : 0;
      EXPECT_TRUE(learner.Step(scale));
      adam.step();
    }
    EXPECT_GT(cut, 1);
    EXPECT_LT(cut, static_cast<int>(std::size(kSizes)) - 1);
    TensorMap state;
    learner.Save(state);
    for (const auto& item : reference->named_parameters()) {
      const auto& moments = static_cast<const torch::optim::AdamParamState&>(
          *adam.state().at(item.value().unsafeGetTensorImpl()));
      const std::string name = "network." + item.key();
      // The second moments are of the size of the square of the limit.
      EXPECT_LT((state.at(name) - item.value()).abs().max().item<double>(), 2e-6) << name;
      EXPECT_LT((state.at(name + "#exp_avg") - moments.exp_avg()).abs().max().item<double>(), 1e-6)
          << name;
      EXPECT_LT((state.at(name + "#exp_avg_sq") - moments.exp_avg_sq()).abs().max().item<double>(),
                1e-7)
          << name;
    }
  }
}

TEST(LearnerTest, TellsOfAStepThatItSkippedAndChangesNothing) {
  const auto network = SomeNetwork();
  Learner learner("network", network, {});
  const torch::Tensor x = torch::randn({1, 3, 9, 9}, at::detail::createCPUGenerator(1));
  const auto step = [&](double scale) {
    learner.ZeroGradients();
    (network->forward(x).mean() * scale).backward();
    return learner.Step();
  };
  EXPECT_TRUE(step(1));
  EXPECT_FALSE(learner.TakeSkipped());
  TensorMap before;
  learner.Save(before);
  EXPECT_FALSE(step(kNan));
  EXPECT_TRUE(step(0) && learner.TakeSkipped()) << "it remembers until it is asked";
  EXPECT_FALSE(learner.TakeSkipped());
  const auto fresh = SomeNetwork();
  Learner resumed("network", fresh, {});
  ASSERT_TRUE(resumed.Load(before).ok());
  TensorMap after;
  resumed.Save(after);
  EXPECT_EQ(after.at("network.0.weight#step").item<std::int64_t>(), 1);
}

// As in the reference projects: (loss_D_fake + loss_D_real) * 0.5.
TEST(AdversaryTest, HalvesTheDiscriminatorsLossWhereTheReferenceDoes) {
  const torch::Tensor real = torch::rand({1, 3, 32, 32}, at::detail::createCPUGenerator(1));
  const auto loss = [&](GanLoss form, bool halved) {
    TrainConfig config;
    config.precision = Precision::kFp32;
    config.gan.loss = form;
    config.gan.channels = 4;
    config.gan.halved = halved;
    auto network = MakeDiscriminator(config.gan, 3, "", at::detail::createCPUGenerator(2)).value();
    return Adversary("d", 0, config, network).Learn(real, -real, SampleRange());
  };
  EXPECT_THAT(loss(GanLoss::kVanilla, true),
              DoubleNear(0.5 * loss(GanLoss::kVanilla, false), 1e-7));
  EXPECT_THAT(loss(GanLoss::kLeastSquares, true), DoubleEq(loss(GanLoss::kLeastSquares, false)))
      << "their half is in their definition";
  for (const char* family : {"cyclegan", "pix2pix", "cut"}) {
    TrainConfig config;
    FindFamily(family)->set_defaults(config);
    EXPECT_TRUE(config.gan.halved) << family;
  }
}

TEST(MetricWatchTest, KnowsTheDirectionCountsSmallStepsForNothingAndResumes) {
  TrainConfig config;
  config.schedule.kind = ScheduleKind::kPlateau;
  config.schedule.plateau_patience = 1;
  config.evaluate = {.every_steps = 1, .metrics = {"diversity"}, .patience = 3, .min_delta = 0.5};
  MetricWatch watch(config);
  EXPECT_TRUE(watch.Report(1, 1.0));
  EXPECT_TRUE(watch.Report(2, 1.2)) << "the best, but not by enough";
  EXPECT_FALSE(watch.Report(3, 0.9));
  TensorMap state;
  watch.Save("part", state);
  MetricWatch resumed(config);
  ASSERT_TRUE(resumed.Load("part", state).ok());
  EXPECT_FALSE(resumed.enough());
  EXPECT_FALSE(resumed.Report(4, kNan));
  EXPECT_TRUE(resumed.enough());
  EXPECT_EQ(resumed.best_step(), 2);
  EXPECT_THAT(resumed.best_metric(), DoubleEq(1.2));
  EXPECT_THAT(resumed.rate_factor(), DoubleNear(0.1, 1e-12)) << "two without an improvement";
  EXPECT_THAT(watch.rate_factor(), DoubleEq(1.0));
}

}  // namespace
}  // namespace atelier::train
