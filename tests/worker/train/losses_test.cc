// Loss terms against values worked out by hand, and the keyed randomness.
#include "worker/train/losses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <set>
#include <vector>

#include "worker/train/loader.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

using ::testing::DoubleNear;

TEST(LossesTest, GramOfTwoChannelsIsTheirMeanProducts) {
  const torch::Tensor features =
      torch::tensor({1.0f, 2.0f, 3.0f, 4.0f, 0.0f, 1.0f, 0.0f, 1.0f}).view({1, 2, 2, 2});
  const torch::Tensor gram = Gram(features);
  EXPECT_THAT(gram[0][0][0].item<double>(), DoubleNear((1 + 4 + 9 + 16) / 4.0, 1e-6));
  EXPECT_THAT(gram[0][0][1].item<double>(), DoubleNear((2 + 4) / 4.0, 1e-6));
  EXPECT_THAT(gram[0][1][1].item<double>(), DoubleNear(0.5, 1e-6));
}

TEST(LossesTest, GramDistanceIsRelativeToTheTarget) {
  const torch::Tensor target = torch::eye(3);
  EXPECT_THAT(GramDistance(target.unsqueeze(0), target).item<double>(), DoubleNear(0.01, 1e-6));
  EXPECT_THAT(GramDistance(2 * target.unsqueeze(0), target).item<double>(),
              DoubleNear(std::sqrt(1.0001), 1e-6));
}

TEST(LossesTest, CosineDistanceIgnoresScaleAndFeatureDistanceDoesNot) {
  const torch::Tensor a = torch::arange(1, 9, torch::kFloat32).view({1, 2, 2, 2});
  EXPECT_THAT(CosineDistance(3 * a, a).item<double>(), DoubleNear(0.0, 1e-6));
  EXPECT_THAT(FeatureDistance(3 * a, a).item<double>(), DoubleNear(4.0, 1e-5));
}

TEST(LossesTest, SlicedWassersteinOfAShiftedCloudIsTheShift) {
  const torch::Tensor cloud = torch::rand({1, 3, 50});
  const torch::Tensor shift = torch::tensor({0.5f, 0.0f, 0.0f}).view({1, 3, 1});
  const torch::Tensor permuted = (cloud + shift).index_select(2, torch::randperm(50));
  EXPECT_THAT(SlicedWasserstein(permuted, cloud, torch::eye(3)).item<double>(),
              DoubleNear(0.5 / 3, 1e-5));
}

TEST(LossesTest, LuminanceDistanceForgivesBrightnessAndContrastButNotStructure) {
  const torch::Tensor picture = torch::rand({1, 3, 32, 32}) * 2 - 1;
  EXPECT_LT(LuminanceDistance(0.5 * picture + 0.2, picture).item<double>(), 0.1);
  EXPECT_GT(LuminanceDistance(picture.flip(3), picture).item<double>(), 0.5);
}

TEST(LossesTest, TotalVariationOfAStepIsItsHeightPerColumn) {
  torch::Tensor picture = torch::zeros({1, 3, 4, 4});
  picture.narrow(3, 2, 2).fill_(1.0);
  EXPECT_THAT(TotalVariation(picture).item<double>(), DoubleNear(1.0 / 3, 1e-6));
}

TEST(KeyedRandomTest, EachPartOfTheKeyChangesTheStreamAndEqualKeysDoNot) {
  std::set<std::uint64_t> first;
  first.insert(KeyedRandom(1, 2, 3, Purpose::kShuffle).Next());
  first.insert(KeyedRandom(2, 2, 3, Purpose::kShuffle).Next());
  first.insert(KeyedRandom(1, 3, 3, Purpose::kShuffle).Next());
  first.insert(KeyedRandom(1, 2, 4, Purpose::kShuffle).Next());
  first.insert(KeyedRandom(1, 2, 3, Purpose::kStyle).Next());
  EXPECT_EQ(first.size(), 5u);
  EXPECT_EQ(KeyedRandom(1, 2, 3, Purpose::kShuffle).Next(),
            KeyedRandom(1, 2, 3, Purpose::kShuffle).Next());
}

TEST(KeyedRandomTest, UniformFillsTheUnitInterval) {
  KeyedRandom random(7, 0, 0, Purpose::kInit);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double value = random.Uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_THAT(sum / 10000, DoubleNear(0.5, 0.02));
}

TEST(EpochOrderTest, EveryEpochIsAnotherPermutation) {
  EpochOrder order(5, 20);
  std::vector<std::int64_t> first;
  std::vector<std::int64_t> second;
  for (int i = 0; i < 20; ++i) {
    first.push_back(order.At(i));
  }
  for (int i = 20; i < 40; ++i) {
    second.push_back(order.At(i));
  }
  EXPECT_NE(first, second);
  EXPECT_EQ(EpochOrder(5, 20).At(33), second[13]);  // going on needs no history
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, second);
  EXPECT_EQ(std::set<std::int64_t>(first.begin(), first.end()).size(), 20u);
}

}  // namespace
}  // namespace atelier::train
