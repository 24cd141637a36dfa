#include "worker/train/gradient_buckets.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "tests/worker/ranks/rank_threads.h"

namespace atelier::train {
namespace {

// Four weights of 100 numbers, two a bucket.
constexpr std::int64_t kNumbers = 100;
constexpr std::int64_t kTwoWeights = 2 * kNumbers * 4;

Parameters Weights() {
  Parameters weights;
  for (int i = 0; i < 4; ++i) {
    weights.push_back(torch::full({10, 10}, 1.0 + i).requires_grad_());
  }
  return weights;
}

// Depends on weights in their order: the last one's gradient is ready first.
torch::Tensor Loss(const Parameters& weights, double factor, std::size_t used) {
  torch::Tensor x = torch::full({10, 10}, factor);
  for (std::size_t i = 0; i < used; ++i) {
    x = x * weights[i];
  }
  return x.sum();
}

TEST(GradientBucketsTest, GradientsBecomeTheirMeanAndFullBucketsLeaveDuringBackward) {
  ranks::OnRanks(2, [](ranks::RankGroup& group) {
    const Parameters weights = Weights();
    GradientBuckets buckets(weights, group, kTwoWeights);
    ASSERT_EQ(buckets.buckets(), 2);
    for (int step = 0; step < 2; ++step) {
      // Two parts: the first one's gradients stay, and the second one's are added.
      Loss(weights, 1.0 + group.rank(), 4).backward();
      buckets.ExpectLast();
      Loss(weights, 1.0 + group.rank(), 4).backward();
      buckets.Average();
      EXPECT_EQ(buckets.left_early(), 2);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        const double others = 24.0 / (1.0 + static_cast<double>(i));
        EXPECT_TRUE(torch::allclose(weights[i].grad(), torch::full({10, 10}, 3 * others))) << i;
        weights[i].mutable_grad().reset();
      }
    }
    EXPECT_TRUE(group.status().ok());
  });
}

TEST(GradientBucketsTest, WeightsWithoutAGradientHoldNothingBack) {
  ranks::OnRanks(2, [](ranks::RankGroup& group) {
    const Parameters weights = Weights();
    GradientBuckets buckets(weights, group, kTwoWeights);
    buckets.ExpectLast();
    Loss(weights, 1.0 + group.rank(), 1).backward();
    buckets.Average();
    EXPECT_EQ(buckets.left_early(), 0) << "the bucket in front of it was never full";
    EXPECT_TRUE(torch::allclose(weights[0].grad(), torch::full({10, 10}, 1.5)));
    EXPECT_FALSE(weights[3].grad().defined());
  });
}

TEST(GradientBucketsTest, WithoutANoticeAllLeavesAtTheEnd) {
  ranks::OnRanks(2, [](ranks::RankGroup& group) {
    const Parameters weights = Weights();
    GradientBuckets buckets(weights, group, kTwoWeights);
    Loss(weights, 1.0 + group.rank(), 4).backward();
    buckets.Average();
    EXPECT_EQ(buckets.left_early(), 0);
    EXPECT_TRUE(torch::allclose(weights[0].grad(), torch::full({10, 10}, 36.0)));
  });
}

TEST(GradientBucketsTest, NumbersThatAreNotFiniteOnOneRankReachAll) {
  ranks::OnRanks(2, [](ranks::RankGroup& group) {
    const Parameters weights = Weights();
    GradientBuckets buckets(weights, group, kTwoWeights);
    Loss(weights, group.rank() == 1 ? std::nan("") : 1.0, 4).backward();
    buckets.Average();
    EXPECT_FALSE(std::isfinite(GradientNorm(weights)));
  });
}

TEST(GradientBucketsTest, AfterItsEndTheHooksAreGone) {
  const Parameters weights = Weights();
  ranks::OnRanks(1, [&](ranks::RankGroup& group) {
    const GradientBuckets buckets(weights, group, kTwoWeights);
  });
  Loss(weights, 1, 4).backward();
  EXPECT_TRUE(weights[0].grad().defined());
}

}  // namespace
}  // namespace atelier::train
