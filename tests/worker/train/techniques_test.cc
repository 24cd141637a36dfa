// The small stateful parts of training: what they do, and that stopping and resuming them in the
// middle changes nothing.
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/worker/train/parts.h"
#include "worker/train/adversarial_loss.h"
#include "worker/train/averaging.h"
#include "worker/train/collapse.h"
#include "worker/train/diff_augment.h"
#include "worker/train/gradients.h"
#include "worker/train/image_losses.h"
#include "worker/train/image_pool.h"
#include "worker/train/patch_nce.h"
#include "worker/train/resampling.h"
#include "worker/train/schedule.h"

namespace atelier::train {
namespace {

using models::TensorMap;
using ::testing::DoubleEq;
using ::testing::DoubleNear;

// A picture whose pixels all have the number as their value.
torch::Tensor Numbered(std::int64_t number) {
  return torch::full({1, 3, 2, 2}, static_cast<double>(number), torch::kFloat32);
}

std::int64_t Exchange(ImagePool& pool, std::int64_t number) {
  return pool.Exchange(Numbered(number), {KeyedRandom(7, number, 0, Purpose::kPool)})[0][0][0][0]
      .item<std::int64_t>();
}

TEST(ImagePoolTest, ShowsWhatItGetsWhileItFillsAndThenSwapsHalf) {
  ImagePool pool(50);
  for (std::int64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(Exchange(pool, i), i);
  }
  int earlier = 0;
  std::set<std::int64_t> shown;
  for (std::int64_t i = 50; i < 1050; ++i) {
    const std::int64_t got = Exchange(pool, i);
    EXPECT_LE(got, i);
    earlier += got < i ? 1 : 0;
    EXPECT_TRUE(shown.insert(got).second) << "a picture leaves the pool when it is shown";
  }
  EXPECT_NEAR(earlier, 500, 60);
  EXPECT_EQ(pool.size(), 50);
}

TEST(ImagePoolTest, KeepsCopiesWithoutGradients) {
  ImagePool pool(1);
  torch::Tensor picture = Numbered(1).set_requires_grad(true);
  EXPECT_FALSE(pool.Exchange(picture * 1, {KeyedRandom(1, 0, 0, Purpose::kPool)}).requires_grad());
  ImagePool off(0);
  EXPECT_FALSE(off.Exchange(picture * 1, {KeyedRandom(1, 0, 0, Purpose::kPool)}).requires_grad());
  EXPECT_EQ(off.size(), 0);
}

TEST(ImagePoolTest, GoesOnAfterALoadAsIfNothingHadHappened) {
  for (const std::int64_t stop : {0, 3, 40}) {
    ImagePool whole(8);
    for (std::int64_t i = 0; i < stop; ++i) {
      Exchange(whole, i);
    }
    ImagePool resumed(8);
    ASSERT_TRUE(resumed.Load("part", SavedState(whole)).ok());
    for (std::int64_t i = stop; i < stop + 40; ++i) {
      EXPECT_EQ(Exchange(whole, i), Exchange(resumed, i));
    }
  }
}

TEST(ImagePoolTest, RefusesADamagedState) {
  ImagePool pool(8);
  for (std::int64_t i = 0; i < 8; ++i) {
    Exchange(pool, i);
  }
  EXPECT_EQ(ImagePool(4).Load("part", SavedState(pool)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ImagePool(8).Load("part", {}).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(ImagePool(8).Load("part", {{"part#pool", torch::tensor(1.0)}}).code(),
            absl::StatusCode::kDataLoss);
}

TEST(ScheduleTest, WarmsUpAndNeverReachesTheEndsShareBeforeTheEnd) {
  const ScheduleConfig schedule = {.kind = ScheduleKind::kLinear, .warmup_steps = 4};
  EXPECT_THAT(RateShare(schedule, 0, 100), DoubleEq(0.25));
  EXPECT_THAT(RateShare(schedule, 3, 100), DoubleEq(1.0));
  EXPECT_THAT(RateShare(schedule, 50, 100), DoubleEq(1.0));
  EXPECT_THAT(RateShare(schedule, 75, 100), DoubleEq(0.5));
  EXPECT_GT(RateShare(schedule, 99, 100), 0);
  EXPECT_THAT(RateShare({.kind = ScheduleKind::kConstant}, 99, 100), DoubleEq(1.0));
  EXPECT_THAT(RateShare({.kind = ScheduleKind::kCosine, .decay_from = 1}, 99, 100), DoubleEq(1.0));
}

TEST(ScheduleTest, PlateauForgivesNoNumbersThatAreNoneAndResumes) {
  Plateau whole({.patience = 1});
  whole.Report(kNan);
  whole.Report(2.0);
  whole.Report(kNan);
  Plateau resumed({.patience = 1});
  ASSERT_TRUE(resumed.Load("part", SavedState(whole)).ok());
  for (Plateau* plateau : {&whole, &resumed}) {
    plateau->Report(2.0);
    EXPECT_THAT(plateau->share(), DoubleEq(0.1));
  }
}

std::shared_ptr<torch::nn::SequentialImpl> SmallNetwork(std::uint64_t seed) {
  auto network = std::make_shared<torch::nn::SequentialImpl>(torch::nn::Conv2d(3, 4, 3),
                                                             torch::nn::BatchNorm2d(4));
  torch::NoGradGuard no_grad;
  const at::Generator random = at::detail::createCPUGenerator(seed);
  for (torch::Tensor& parameter : network->parameters()) {
    parameter.normal_(0, 1, random);
  }
  return network;
}

// Moves weights and statistics as a step of training would.
void Move(torch::nn::SequentialImpl& network, std::int64_t step) {
  torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : network.parameters()) {
    parameter.add_(std::sin(static_cast<double>(step)));
  }
  network.forward(torch::full({2, 3, 5, 5}, static_cast<double>(step)));
}

TEST(AveragingTest, TheMeanStartsAtTheSourceAndFollowsFasterInTheBeginning) {
  EXPECT_THAT(KeepShare(0.99, 0), DoubleNear(2.0 / 11, 1e-12));
  EXPECT_THAT(KeepShare(0.99, 100'000), DoubleEq(0.99));
  auto source = SmallNetwork(1);
  auto mean = SmallNetwork(2);
  Average<torch::nn::SequentialImpl> average(mean, source, 0.9);
  EXPECT_EQ(&average.result(), mean.get());
  EXPECT_TRUE(torch::equal(mean->parameters()[0], source->parameters()[0]));
  EXPECT_FALSE(mean->parameters()[0].requires_grad());
  const torch::Tensor start = source->parameters()[0].detach().clone();
  Move(*source, 1);
  average.Update(0);
  EXPECT_TRUE(torch::allclose(mean->parameters()[0],
                              start * (2.0 / 11) + source->parameters()[0] * (9.0 / 11)));
  EXPECT_TRUE(torch::equal(mean->buffers()[0], source->buffers()[0])) << "statistics are copied";
}

TEST(AveragingTest, OffMeansTheSourceItself) {
  auto source = SmallNetwork(1);
  Average<torch::nn::SequentialImpl> average(SmallNetwork(2), source, 0);
  EXPECT_EQ(&average.result(), source.get());
  TensorMap state;
  average.Save(state);
  EXPECT_TRUE(state.empty());
  EXPECT_TRUE(average.Load(state).ok());
}

TEST(AveragingTest, ResumesBitForBit) {
  auto source = SmallNetwork(1);
  auto mean = SmallNetwork(2);
  Average<torch::nn::SequentialImpl> whole(mean, source, 0.9);
  for (std::int64_t step = 0; step < 5; ++step) {
    Move(*source, step);
    whole.Update(step);
  }
  TensorMap state;
  whole.Save(state);
  auto resumed_mean = SmallNetwork(3);
  Average<torch::nn::SequentialImpl> resumed(resumed_mean, source, 0.9);
  ASSERT_TRUE(resumed.Load(state).ok());
  Move(*source, 5);
  whole.Update(5);
  resumed.Update(5);
  for (std::size_t i = 0; i < mean->parameters().size(); ++i) {
    EXPECT_TRUE(torch::equal(mean->parameters()[i], resumed_mean->parameters()[i]));
  }
  for (std::size_t i = 0; i < mean->buffers().size(); ++i) {
    EXPECT_TRUE(torch::equal(mean->buffers()[i], resumed_mean->buffers()[i]));
  }
  state.erase("average.0.bias");
  EXPECT_EQ(resumed.Load(state).code(), absl::StatusCode::kDataLoss);
}

TEST(GradientsTest, PartsAddUpToTheMeanAndNormsAreOfAll) {
  const torch::Tensor w = torch::tensor({3.0f, 4.0f}).set_requires_grad(true);
  const torch::Tensor unused = torch::ones({2}).set_requires_grad(true);
  const LossScaler off("part", {});
  const auto means = AccumulateGradients(2, off, [&](int part) {
    return Losses{{"a", (w * w).sum() * part}, {"b", (w * w).sum() * 0.5}};
  });
  EXPECT_THAT(means.at("a"), DoubleNear(12.5, 1e-5));
  EXPECT_THAT(means.at("b"), DoubleNear(12.5, 1e-5));
  EXPECT_THAT(means.at("total"), DoubleNear(25.0, 1e-5));
  EXPECT_TRUE(torch::allclose(w.grad(), torch::tensor({6.0f, 8.0f})));
  const torch::Tensor other = torch::ones({1}).set_requires_grad(true);
  other.mutable_grad() = torch::full({1}, -24.0f);
  EXPECT_THAT(GradientNorm({w, unused, other}), DoubleNear(26.0, 1e-5));
  EXPECT_THAT(GradientNorm({unused}), DoubleEq(0.0));
  w.grad()[0] = kNan;
  EXPECT_FALSE(std::isfinite(GradientNorm({w, other})));
}

TEST(NanGuardTest, RestoresAfterThreeBadStepsAndGivesUpWhenThatDoesNotHelp) {
  using Action = NanGuard::Action;
  NanGuard guard(3);
  guard.Keep({{"good", torch::ones({1})}});
  EXPECT_EQ(guard.Report(true), Action::kGoOn);
  EXPECT_EQ(guard.Report(false), Action::kSkipped);
  guard.Keep({{"bad", torch::ones({1})}});
  EXPECT_EQ(guard.Report(true), Action::kGoOn);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(guard.Report(false), Action::kSkipped);
  }
  EXPECT_EQ(guard.Report(false), Action::kRestore);
  EXPECT_TRUE(guard.last_good().contains("good"));
  NanGuard resumed(3);
  resumed.Keep(guard.last_good());
  ASSERT_TRUE(resumed.Load("part", SavedState(guard)).ok());
  EXPECT_EQ(resumed.Report(false), Action::kSkipped);
  EXPECT_EQ(resumed.Report(false), Action::kSkipped);
  EXPECT_EQ(resumed.Report(false), Action::kGiveUp);
  EXPECT_EQ(NanGuard(1).Report(false), Action::kGiveUp) << "there is nothing to go back to";
}

TEST(LossScalerTest, BacksOffOnOverflowAndGrowsAfterAWhile) {
  const LossScaler::Options options = {.on = true, .scale = 8, .growth_interval = 2};
  LossScaler scaler("part", options);
  EXPECT_THAT(scaler.Scale(torch::tensor(3.0)).item<double>(), DoubleEq(24.0));
  scaler.Report(true);
  scaler.Report(false);
  EXPECT_THAT(scaler.scale(), DoubleEq(4.0));
  scaler.Report(true);
  TensorMap state;
  scaler.Save(state);
  LossScaler resumed("part", options);
  ASSERT_TRUE(resumed.Load(state).ok());
  EXPECT_THAT(resumed.scale(), DoubleEq(4.0));
  resumed.Report(true);
  EXPECT_THAT(resumed.scale(), DoubleEq(8.0)) << "the second finite step in a row";
  EXPECT_EQ(LossScaler("other", options).Load(state).code(), absl::StatusCode::kDataLoss);
}

TEST(LossScalerTest, ChangesNothingWhileItIsOff) {
  LossScaler scaler("part", {.scale = 8});
  const torch::Tensor loss = torch::tensor(3.0);
  EXPECT_TRUE(scaler.Scale(loss).is_same(loss));
  scaler.Report(false);
  EXPECT_THAT(scaler.scale(), DoubleEq(1.0));
  TensorMap state;
  scaler.Save(state);
  EXPECT_TRUE(state.empty());
  EXPECT_TRUE(scaler.Load(state).ok());
}

TEST(AdversarialLossTest, ClippingLeavesFrozenWeightsAlone) {
  auto network = SmallNetwork(1);
  const torch::Tensor frozen = network->parameters()[1].set_requires_grad(false);
  const torch::Tensor before = frozen.clone();
  ClipWeights(*network, 0.01);
  EXPECT_LE(network->parameters()[0].abs().max().item<double>(), 0.0101);
  EXPECT_TRUE(torch::equal(frozen, before));
}

TEST(AdversarialLossTest, SharesBelongToTheSampleNotToTheBatch) {
  const torch::Tensor all = PenaltyShares(1, 2, {.first = 8, .count = 4});
  EXPECT_TRUE(torch::equal(all.narrow(0, 2, 2), PenaltyShares(1, 2, {.first = 10, .count = 2})));
  EXPECT_FALSE(torch::equal(all, PenaltyShares(1, 3, {.first = 8, .count = 4})));
}

TEST(AdversarialLossTest, ExtremeLogitsAndAFlatCriticStayFinite) {
  const Logits far = {torch::full({1, 1, 2, 2}, 1000.0).set_requires_grad(true)};
  const Logits other = {torch::full({1, 1, 2, 2}, -1000.0)};
  for (const GanLoss loss : {GanLoss::kVanilla, GanLoss::kSaturating}) {
    const torch::Tensor value = DiscriminatorLoss(loss, other, far) + GeneratorLoss(loss, far);
    EXPECT_TRUE(std::isfinite(value.item<double>()));
    EXPECT_TRUE(torch::autograd::grad({value}, {far[0]})[0].isfinite().all().item<bool>());
  }
  const torch::Tensor w = torch::zeros({1}).set_requires_grad(true);
  const torch::Tensor x = torch::rand({2, 3, 4, 4}, at::detail::createCPUGenerator(1));
  const torch::Tensor penalty =
      GradientPenalty([&](const torch::Tensor& p) -> Logits { return {(p * w).mean({1, 2, 3})}; },
                      x, -x, PenaltyShares(1, 1, {.count = 2}));
  EXPECT_THAT(penalty.item<double>(), DoubleNear(1.0, 1e-5));
  EXPECT_TRUE(torch::autograd::grad({penalty}, {w})[0].isfinite().all().item<bool>());
}

TEST(PatchNceTest, PlacesAreDifferentKeyedAndAtMostAll) {
  const std::vector<torch::Tensor> maps = {torch::zeros({2, 3, 4, 5}), torch::zeros({2, 6, 2, 2})};
  const auto draw = [&](std::int64_t step) {
    return DrawPatches(maps, 10, KeyedRandoms(1, {step, 2}, 2, 0, Purpose::kPatches));
  };
  const auto places = draw(0);
  ASSERT_EQ(places[0].sizes(), torch::IntArrayRef({2, 10}));
  ASSERT_EQ(places[1].sizes(), torch::IntArrayRef({2, 4}));
  for (std::int64_t picture = 0; picture < 2; ++picture) {
    EXPECT_EQ(std::get<0>(at::_unique(places[0][picture])).numel(), 10);
    EXPECT_EQ(std::get<0>(at::_unique(places[1][picture])).numel(), 4);
  }
  EXPECT_FALSE(torch::equal(places[0][0], places[0][1]));
  EXPECT_LT(places[0].max().item<std::int64_t>(), 20);
  EXPECT_TRUE(torch::equal(places[0], draw(0)[0]));
  EXPECT_FALSE(torch::equal(places[0], draw(2)[0]));
  EXPECT_TRUE(torch::equal(places[0][1], draw(1)[0][0])) << "a sample's places are its own";
}

TEST(ImageLossesTest, StructureMindsWhereEdgesAreAndNothingElse) {
  torch::Tensor picture = torch::zeros({1, 3, 24, 24});
  picture.narrow(2, 6, 10).narrow(3, 4, 8).fill_(0.8);
  EXPECT_LT(StructureDistance(picture, 0.3 - 0.5 * picture).item<double>(), 1e-3);
  EXPECT_GT(StructureDistance(picture, picture.roll(6, 3)).item<double>(), 0.5);
  const torch::Tensor flat = torch::zeros({1, 3, 24, 24}).set_requires_grad(true);
  const torch::Tensor distance = StructureDistance(flat, picture);
  EXPECT_THAT(distance.item<double>(), DoubleNear(1.0, 1e-6));
  EXPECT_TRUE(torch::autograd::grad({distance.sum()}, {flat})[0].isfinite().all().item<bool>());
}

TEST(ImageLossesTest, ComputeInFp32FromHalfPrecision) {
  const torch::Tensor a = torch::rand({1, 4, 3, 3}, at::detail::createCPUGenerator(1));
  const torch::Tensor half = a.to(torch::kBFloat16);
  EXPECT_EQ(AbsoluteDistance(half, half).scalar_type(), torch::kFloat32);
  EXPECT_EQ(StatisticsDistance({half}, {half}).scalar_type(), torch::kFloat32);
  EXPECT_EQ(DiscriminatorLoss(GanLoss::kHinge, {half}, {half}).scalar_type(), torch::kFloat32);
}

}  // namespace
}  // namespace atelier::train
