// What changes the data on its way to the networks (augmentation, resampling), and what watches the
// results.
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/worker/train/parts.h"
#include "worker/models/safetensors.h"
#include "worker/train/augment.h"
#include "worker/train/collapse.h"
#include "worker/train/diff_augment.h"
#include "worker/train/resampling.h"

namespace atelier::train {
namespace {

using models::TensorMap;
using ::testing::AllOf;
using ::testing::DoubleEq;
using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::Ge;
using ::testing::Le;

torch::Tensor RandomPixels(std::int64_t height, std::int64_t width) {
  return torch::randint(256, {height, width, 3}, at::detail::createCPUGenerator(1), torch::kByte);
}

TEST(AugmentTest, DrawsStayInRangeAndAnOptionDoesNotChangeTheOthers) {
  AugmentConfig options = {.rotation = 40, .shift = 0.2, .shear = 0.2, .zoom = 0.2};
  double widest = 0;
  for (std::int64_t i = 0; i < 500; ++i) {
    const Warp warp = DrawWarp(options, KeyedRandom(1, i, 0, Purpose::kAugment));
    for (const double part : {warp.angle / 40, warp.shear / 0.2, (warp.zoom - 1) / 0.2,
                              warp.shift_x / 0.2, warp.shift_y / 0.2}) {
      EXPECT_LE(std::abs(part), 1.0 + 1e-9);
      widest = std::max(widest, std::abs(part));
    }
    options.rotation = 0;
    const Warp other = DrawWarp(options, KeyedRandom(1, i, 0, Purpose::kAugment));
    options.rotation = 40;
    EXPECT_EQ(other.angle, 0);
    EXPECT_EQ(other.shear, warp.shear);
    EXPECT_EQ(other.shift_y, warp.shift_y);
    EXPECT_EQ(other.flip, warp.flip);
  }
  EXPECT_GT(widest, 0.99);
  EXPECT_TRUE(DrawWarp({}, KeyedRandom(1, 0, 0, Purpose::kAugment)).IsIdentity());
}

TEST(AugmentTest, WithoutAWarpTheWindowIsCutOutExactly) {
  const torch::Tensor pixels = RandomPixels(20, 30);
  const torch::Tensor part = pixels.narrow(0, 3, 8).narrow(1, 5, 9);
  EXPECT_TRUE(torch::equal(ApplyWarp(pixels, {3, 5, 8, 9}, {}, true), part));
  EXPECT_TRUE(torch::equal(ApplyWarp(pixels, {3, 5, 8, 9}, {.flip = true}, true), part.flip(1)));
}

TEST(AugmentTest, QuarterTurnsAndWholeShiftsMovePixelsWithoutMixingThem) {
  for (const auto type : {torch::kByte, torch::kFloat32}) {
    const torch::Tensor pixels = RandomPixels(9, 9).to(type);
    const Window all = {0, 0, 9, 9};
    EXPECT_TRUE(torch::equal(ApplyWarp(pixels, all, {.angle = 90}, true), pixels.rot90(-1)))
        << "clockwise";
    const torch::Tensor moved =
        ApplyWarp(pixels, all, {.shift_x = 2.0 / 9, .shift_y = 1.0 / 9}, true);
    EXPECT_TRUE(torch::equal(moved.narrow(0, 1, 8).narrow(1, 2, 7),
                             pixels.narrow(0, 0, 8).narrow(1, 0, 7)));
    EXPECT_TRUE(
        torch::equal(moved.select(0, 0).narrow(0, 2, 7), pixels.select(0, 1).narrow(0, 0, 7)))
        << "the border is mirrored";
    const torch::Tensor flipped = ApplyWarp(pixels, all, {.shift_y = 1.0 / 9, .flip = true}, false);
    EXPECT_TRUE(torch::equal(flipped.narrow(0, 1, 8), pixels.flip(1).narrow(0, 0, 8)));
    EXPECT_TRUE(torch::equal(flipped[0], pixels.flip(1)[0])) << "the border is repeated";
  }
}

TEST(AugmentTest, ZoomAndShearKeepTheMiddleAndBringInWhatLiesAroundTheWindow) {
  const torch::Tensor ramp =
      torch::arange(0, 41, torch::kFloat32).view({1, 41, 1}).expand({41, 41, 1}).contiguous();
  const Window middle = {10, 10, 21, 21};
  const torch::Tensor zoomed = ApplyWarp(ramp, middle, {.zoom = 0.5}, true);
  EXPECT_NEAR(zoomed[10][10][0].item<double>(), 20.0, 0.05);
  EXPECT_NEAR(zoomed[10][0][0].item<double>(), 0.0, 0.05) << "from outside the window";
  const torch::Tensor sheared = ApplyWarp(ramp, middle, {.shear = 0.5}, true);
  EXPECT_NEAR(sheared[20][10][0].item<double>(), 15.0, 0.05) << "lower rows move to the right";
  EXPECT_NEAR(sheared[10][10][0].item<double>(), 20.0, 0.05);
}

TEST(DiffAugmentTest, AProbabilityOfZeroChangesNothingAndTheDrawsAreThePictures) {
  const torch::Tensor pictures =
      torch::rand({4, 3, 16, 16}, at::detail::createCPUGenerator(3), torch::kFloat32);
  std::vector<DiffAugmentDraw> none;
  std::vector<DiffAugmentDraw> half;
  std::vector<DiffAugmentDraw> full;
  for (std::int64_t i = 0; i < 4; ++i) {
    const KeyedRandom random(1, 0, i, Purpose::kDiffAugment);
    none.push_back(DrawDiffAugment(16, 16, 0, random));
    half.push_back(DrawDiffAugment(16, 16, 0.5, random));
    full.push_back(DrawDiffAugment(16, 16, 1, random));
  }
  EXPECT_TRUE(torch::equal(DiffAugment(pictures, none), pictures));
  EXPECT_FALSE(torch::equal(DiffAugment(pictures, full), pictures));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(half[i].brightness == 0 || half[i].brightness == full[i].brightness);
    EXPECT_LE(std::abs(full[i].down), 2);
    EXPECT_TRUE(full[i].cut);
  }
}

TEST(AdaptiveProbabilityTest, RisesWhileTheDiscriminatorKnowsTheDataAndResumes) {
  const AdaptiveProbability::Options options = {.interval = 2, .pictures_to_full = 100};
  AdaptiveProbability whole(options);
  const std::vector<torch::Tensor> sure = {torch::full({5, 1, 2, 2}, 0.7)};
  const auto step = [](AdaptiveProbability& p, const std::vector<torch::Tensor>& logits) {
    p.StartStep();
    p.Observe(logits);
  };
  for (int i = 0; i < 3; ++i) {
    step(whole, sure);
  }
  EXPECT_THAT(whole.probability(), DoubleEq(0.1));
  AdaptiveProbability resumed(options);
  ASSERT_TRUE(resumed.Load("part", SavedState(whole)).ok());
  for (AdaptiveProbability* p : {&whole, &resumed}) {
    step(*p, sure);
    EXPECT_THAT(p->probability(), DoubleEq(0.1)) << "a step keeps what it began with";
    step(*p, sure);
    EXPECT_THAT(p->probability(), DoubleEq(0.2));
    for (int i = 0; i < 40; ++i) {
      step(*p, {torch::tensor({1.0f, -1.0f}).view({2, 1, 1, 1})});
    }
    EXPECT_THAT(p->probability(), DoubleNear(0.0, 1e-12)) << "guessing";
  }
}

ScoreResampling::Options SmallWindows() {
  return {.decay = 0.5, .strength = 1, .bound = 3, .window = 2};
}

// Ten pictures; the discriminator always tells the last one from generated ones.
void Step(ScoreResampling& resampling, std::int64_t step) {
  std::vector<std::int64_t> pictures;
  std::vector<float> logits;
  for (std::int64_t i = 0; i < 10; ++i) {
    pictures.push_back(i);
    logits.push_back(i == 9 ? 3.0f : 0.1f * static_cast<float>((i + step) % 3));
  }
  resampling.Observe(pictures, torch::tensor(logits));
  resampling.EndStep(step);
}

TEST(ResamplingTest, DrawsWhatTheGeneratorDoesNotMakeMoreOftenWithinBounds) {
  ScoreResampling resampling(1, 10, SmallWindows());
  EXPECT_EQ(resampling.For(0), nullptr);
  EXPECT_EQ(resampling.For(2), nullptr);
  for (std::int64_t step = 0; step < 6; ++step) {
    Step(resampling, step);
  }
  const auto sampler = resampling.For(6);
  ASSERT_NE(sampler, nullptr);
  EXPECT_THAT(sampler->weights(), Each(AllOf(Ge(1.0 / 3), Le(3.0))));
  EXPECT_THAT(sampler->weights()[9], DoubleEq(3.0));
  std::vector<double> drawn(10);
  for (std::int64_t i = 0; i < 20'000; ++i) {
    ++drawn[static_cast<std::size_t>(sampler->At(i))];
  }
  double total = 0;
  for (const double weight : sampler->weights()) {
    total += weight;
  }
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_NEAR(drawn[i] / 20'000, sampler->weights()[i] / total, 0.01);
  }
}

TEST(ResamplingTest, WhatIsDrawnAheadDoesNotChangeAndResumesBitForBit) {
  for (const std::int64_t stop : {0, 1, 2, 3, 6, 7}) {
    ScoreResampling whole(1, 10, SmallWindows());
    for (std::int64_t step = 0; step < stop; ++step) {
      Step(whole, step);
    }
    ScoreResampling resumed(1, 10, SmallWindows());
    ASSERT_TRUE(resumed.Load("part", SavedState(whole)).ok());
    for (std::int64_t step = stop; step < stop + 6; ++step) {
      const auto ahead = whole.For(step + 1);
      Step(whole, step);
      Step(resumed, step);
      const auto now = whole.For(step + 1);
      EXPECT_EQ(ahead, now) << "a batch made while the step ran is the same batch";
      const auto other = resumed.For(step + 1);
      ASSERT_EQ(now == nullptr, other == nullptr);
      if (now != nullptr) {
        EXPECT_EQ(now->weights(), other->weights());
      }
    }
  }
}

TEST(ResamplingTest, RefusesADamagedState) {
  ScoreResampling resampling(1, 10, SmallWindows());
  EXPECT_EQ(ScoreResampling(1, 9, SmallWindows()).Load("part", SavedState(resampling)).code(),
            absl::StatusCode::kDataLoss);
  TensorMap state = SavedState(resampling);
  state["part#next"] = torch::zeros({10}, torch::kFloat64);
  EXPECT_EQ(resampling.Load("part", state).code(), absl::StatusCode::kDataLoss);
}

TEST(CollapseTest, DistanceOfPairsIsTheirRootMeanSquare) {
  const torch::Tensor samples = torch::tensor({0.0f, 0.0f, 3.0f, 4.0f, 0.0f, 0.0f}).view({3, 2});
  EXPECT_THAT(MeanPairwiseDistance(samples), DoubleNear(2 * 5 / std::sqrt(2.0) / 3, 1e-12));
}

TEST(CollapseTest, TheAlarmGoesOffOnceUntilThePicturesDiffer) {
  CollapseAlarm alarm;
  EXPECT_FALSE(alarm.Report(0.9, 1.0, 0));
  EXPECT_FALSE(alarm.Report(0.2, 1.0, 0.1));
  EXPECT_FALSE(alarm.Report(0.9, 1.0, 0.1));
  EXPECT_FALSE(alarm.Report(0.2, 1.0, 0.1));
  CollapseAlarm resumed;
  ASSERT_TRUE(resumed.Load("part", SavedState(alarm)).ok());
  EXPECT_TRUE(resumed.differed());
  EXPECT_TRUE(resumed.Report(std::numeric_limits<double>::quiet_NaN(), 1.0, 0.1));
  EXPECT_FALSE(resumed.Report(0.1, 1.0, 0.2));
  EXPECT_FALSE(resumed.Report(0.5, 1.0, 0.2));
  EXPECT_FALSE(resumed.Report(0.1, 1.0, 0.2));
  EXPECT_TRUE(resumed.Report(0.1, 1.0, 0.2));
}

TEST(CollapseTest, PicturesThatHaveNeverDifferedCountFromTheMiddleOfTheRun) {
  CollapseAlarm alarm;
  for (const double done : {0.1, 0.2, 0.3, 0.49, 0.5}) {
    EXPECT_FALSE(alarm.Report(0.01, 1.0, done)) << done;
  }
  CollapseAlarm resumed;
  TensorMap state = SavedState(alarm);
  state.erase("part#differed");  // as earlier releases saved it
  ASSERT_TRUE(resumed.Load("part", state).ok());
  EXPECT_TRUE(resumed.Report(0.01, 1.0, 0.6));
  EXPECT_FALSE(resumed.differed());
}

TEST(BestByMetricTest, KeepsTheSmallestAndKnowsWhenItIsEnough) {
  BestByMetric best(2);
  EXPECT_FALSE(best.Report(5, std::numeric_limits<double>::infinity()));
  EXPECT_EQ(best.step(), -1);
  EXPECT_TRUE(best.Report(10, 3.0));
  EXPECT_FALSE(best.Report(20, 3.0));
  EXPECT_TRUE(best.Report(30, 2.0));
  EXPECT_FALSE(best.Report(40, 2.5));
  BestByMetric resumed(2);
  ASSERT_TRUE(resumed.Load("part", SavedState(best)).ok());
  EXPECT_FALSE(resumed.enough());
  EXPECT_FALSE(resumed.Report(50, 2.5));
  EXPECT_TRUE(resumed.enough());
  EXPECT_EQ(resumed.step(), 30);
  EXPECT_THAT(resumed.metric(), DoubleEq(2.0));
}

}  // namespace
}  // namespace atelier::train
