// Metrics of sets of features: against numpy and scipy (tests/golden/make_metrics.py), against what
// mathematics says, and what they refuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>

#include "tests/golden/reference.h"
#include "tests/worker/metrics/golden.h"
#include "worker/metrics/feature_statistics.h"
#include "worker/metrics/frechet.h"
#include "worker/metrics/kernel_distance.h"
#include "worker/metrics/manifold.h"
#include "worker/models/safetensors.h"

namespace atelier::metrics {
namespace {

using ::testing::HasSubstr;

double GoldenNumber(const std::string& name) { return Golden(name).item<double>(); }

// Double [count, 6].
torch::Tensor Uniform(std::uint64_t first, std::int64_t count) {
  torch::Tensor values = torch::empty({count, 6}, torch::kDouble);
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    values.data_ptr<double>()[i] = golden::Uniform(first + static_cast<std::uint64_t>(i));
  }
  return values;
}

torch::Tensor GoldenA() { return Uniform(0, 48); }

torch::Tensor GoldenB() {
  const torch::Tensor b = Uniform(10'000, 41);
  return 0.7 * b + 0.4 * b.roll(1, 1) + 0.25;
}

FeatureStatistics StatisticsOf(const torch::Tensor& features) {
  FeatureStatistics statistics;
  EXPECT_TRUE(statistics.Add(features).ok());
  return statistics;
}

// A cloud around zero.
torch::Tensor Cloud(std::int64_t count, std::int64_t features, std::uint64_t seed) {
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(seed);
  return torch::randn({count, features}, random, torch::kDouble);
}

// The moments of a Gaussian, with enough pictures for any metric.
Moments Gaussian(const torch::Tensor& mean, const torch::Tensor& covariance) {
  return {.count = 1000, .mean = mean, .covariance = covariance};
}

TEST(FeatureStatistics, AreTheSameHoweverThePicturesCome) {
  const torch::Tensor features = GoldenA();
  FeatureStatistics one_by_one;
  for (std::int64_t i = 0; i < features.size(0); ++i) {
    ASSERT_TRUE(one_by_one.Add(features[i]).ok());
  }
  EXPECT_EQ(one_by_one.count(), 48);
  EXPECT_EQ(one_by_one.width(), 6);
  EXPECT_TRUE(torch::equal(one_by_one.Features(), features));
  const Moments moments = one_by_one.ComputeMoments();
  EXPECT_TRUE(torch::allclose(moments.mean, features.mean(0), 1e-12, 1e-12));
  EXPECT_TRUE(torch::allclose(moments.covariance, features.t().cov(), 1e-12, 1e-12));
}

TEST(FeatureStatistics, KeepTheirDigitsFarFromZero) {
  const torch::Tensor features = GoldenA();
  const Moments moments = StatisticsOf(features + 1e8).ComputeMoments();
  EXPECT_TRUE(torch::allclose(moments.covariance, features.t().cov(), 1e-6, 1e-7));
}

TEST(FeatureStatistics, RefuseWhatIsNotFiniteAndAnotherWidth) {
  FeatureStatistics statistics = StatisticsOf(GoldenA());
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    torch::Tensor features = GoldenB();
    features[3][2] = bad;
    const absl::Status status = statistics.Add(features);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("NaN or infinity"));
  }
  EXPECT_EQ(statistics.Add(torch::zeros({7})).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(statistics.count(), 48);
}

TEST(FrechetDistance, EqualsScipy) {
  const double distance = FrechetDistance(StatisticsOf(GoldenA()), StatisticsOf(GoldenB())).value();
  EXPECT_NEAR(distance, GoldenNumber("frechet"), 1e-9);
}

TEST(FrechetDistance, OfDiagonalGaussiansIsTheTextbooks) {
  // |m1 - m2|^2 + sum (s1 - s2)^2 with the standard deviations s.
  const torch::Tensor mean = torch::tensor({1.0, -2.0, 0.5}, torch::kDouble);
  const torch::Tensor s1 = torch::tensor({1.0, 2.0, 0.1}, torch::kDouble);
  const torch::Tensor s2 = torch::tensor({3.0, 2.0, 0.4}, torch::kDouble);
  const Moments a = Gaussian(torch::zeros({3}, torch::kDouble), torch::diag(s1.square()));
  const Moments b = Gaussian(mean, torch::diag(s2.square()));
  EXPECT_NEAR(FrechetDistance(a, b).value(), 5.25 + 4.0 + 0.09, 1e-12);
  EXPECT_NEAR(FrechetDistance(b, a).value(), 5.25 + 4.0 + 0.09, 1e-12);
}

TEST(FrechetDistance, OfAShiftedSetIsTheSquareOfTheShift) {
  const torch::Tensor features = Cloud(60, 8, 1);
  EXPECT_NEAR(FrechetDistance(StatisticsOf(features), StatisticsOf(features + 0.5)).value(),
              8 * 0.25, 1e-9);
}

TEST(FrechetDistance, OfEqualSetsIsZeroEvenWithASingularCovariance) {
  torch::Tensor features = Cloud(60, 8, 2);
  EXPECT_NEAR(FrechetDistance(StatisticsOf(features), StatisticsOf(features)).value(), 0.0, 1e-9);
  features.select(1, 3).copy_(features.select(1, 5));  // rank 7
  features.select(1, 6).zero_();                       // rank 6
  EXPECT_NEAR(FrechetDistance(StatisticsOf(features), StatisticsOf(features)).value(), 0.0, 1e-6);
}

TEST(FrechetDistance, NamesTheNumberOfPicturesThatItNeeds) {
  const FeatureStatistics few = StatisticsOf(Cloud(8, 8, 3));
  const FeatureStatistics enough = StatisticsOf(Cloud(9, 8, 4));
  EXPECT_TRUE(FrechetDistance(enough, enough).ok());
  const absl::Status status = FrechetDistance(enough, few).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at least 9 pictures"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("the second 8"));
  // A single picture has no covariance at all.
  EXPECT_EQ(FrechetDistance(StatisticsOf(Cloud(1, 8, 5)), enough).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(FrechetDistance, RefusesFeaturesOfTwoNetworks) {
  EXPECT_EQ(
      FrechetDistance(StatisticsOf(Cloud(30, 8, 6)), StatisticsOf(Cloud(30, 7, 6))).status().code(),
      absl::StatusCode::kInvalidArgument);
}

TEST(KernelDistance, EqualsNumpy) {
  EXPECT_NEAR(SquaredMmd(GoldenA(), GoldenB()), GoldenNumber("squared_mmd"), 1e-10);
  const KernelDistance distance =
      ComputeKernelDistance(GoldenA(), GoldenB(), {.subsets = 7, .subset_size = 12, .seed = 5})
          .value();
  EXPECT_NEAR(distance.mean, GoldenNumber("kernel_mean"), 1e-10);
  EXPECT_NEAR(distance.deviation, GoldenNumber("kernel_deviation"), 1e-10);
}

TEST(KernelDistance, IsNearZeroForOneKindAndGrowsWithTheShift) {
  const torch::Tensor a = Cloud(300, 8, 7);
  const torch::Tensor b = Cloud(300, 8, 8);
  const KernelDistance same = ComputeKernelDistance(a, b).value();
  const KernelDistance near = ComputeKernelDistance(a, b + 0.3).value();
  const KernelDistance far = ComputeKernelDistance(a, b + 1.0).value();
  EXPECT_EQ(same.subset_size, 150);
  EXPECT_LT(std::abs(same.mean), 0.02);
  EXPECT_GT(same.deviation, 0.0);
  EXPECT_GT(near.mean, same.mean + 3 * same.deviation);
  EXPECT_GT(far.mean, 2 * near.mean);
}

TEST(KernelDistance, DependsOnTheSeedOnly) {
  const KernelDistanceOptions options = {.subsets = 5, .subset_size = 10, .seed = 1};
  KernelDistanceOptions other = options;
  other.seed = 2;
  const double mean = ComputeKernelDistance(GoldenA(), GoldenB(), options)->mean;
  torch::rand({100});  // the global generator plays no part
  EXPECT_EQ(ComputeKernelDistance(GoldenA(), GoldenB(), options)->mean, mean);
  EXPECT_NE(ComputeKernelDistance(GoldenA(), GoldenB(), other)->mean, mean);
}

TEST(KernelDistance, NamesWhatItNeeds) {
  const torch::Tensor three = Cloud(3, 8, 9);
  const absl::Status few = ComputeKernelDistance(three, Cloud(9, 8, 9)).status();
  EXPECT_EQ(few.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(few.message()), HasSubstr("at least 4 pictures"));
  const absl::Status subset = ComputeKernelDistance(three, three, {.subset_size = 1000}).status();
  EXPECT_EQ(subset.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(subset.message()), HasSubstr("at least 1000 pictures"));
  EXPECT_EQ(ComputeKernelDistance(three, three, {.subsets = 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(PrecisionRecall, EqualsScipy) {
  const PrecisionRecall shares = ComputePrecisionRecall(GoldenA(), GoldenB()).value();
  EXPECT_NEAR(shares.precision, GoldenNumber("precision"), 1e-12);
  EXPECT_NEAR(shares.recall, GoldenNumber("recall"), 1e-12);
}

TEST(PrecisionRecall, AreOneForEqualSetsAndZeroForFarOnes) {
  const torch::Tensor a = Cloud(50, 8, 10);
  const PrecisionRecall equal = ComputePrecisionRecall(a, a).value();
  EXPECT_EQ(equal.precision, 1.0);
  EXPECT_EQ(equal.recall, 1.0);
  const PrecisionRecall far = ComputePrecisionRecall(a, a + 100.0).value();
  EXPECT_EQ(far.precision, 0.0);
  EXPECT_EQ(far.recall, 0.0);
}

TEST(PrecisionRecall, TellQualityFromCoverage) {
  // A collapsed generator: every picture is good, hardly any kind is covered.
  const torch::Tensor real = Cloud(200, 4, 11);
  const torch::Tensor collapsed = 0.01 * Cloud(200, 4, 12);
  const PrecisionRecall shares = ComputePrecisionRecall(real, collapsed).value();
  EXPECT_GT(shares.precision, 0.95);
  EXPECT_LT(shares.recall, 0.05);
}

TEST(PrecisionRecall, LooksBeyondOneSliceOfRows) {
  const torch::Tensor a = Cloud(1500, 3, 13);
  const PrecisionRecall equal = ComputePrecisionRecall(a, a.flip(0)).value();
  EXPECT_EQ(equal.precision, 1.0);
  EXPECT_EQ(equal.recall, 1.0);
}

TEST(PrecisionRecall, NamesWhatItNeeds) {
  const torch::Tensor three = Cloud(3, 8, 14);
  const absl::Status status = ComputePrecisionRecall(three, three).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at least 4 pictures"));
  EXPECT_EQ(ComputePrecisionRecall(three, three, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Diversity, IsTheMeanDistanceOfTwoPictures) {
  EXPECT_NEAR(ComputeDiversity(GoldenA()).value(), GoldenNumber("diversity"), 1e-10);
  const torch::Tensor points = torch::tensor({{0.0, 0.0}, {3.0, 4.0}}, torch::kDouble);
  EXPECT_EQ(ComputeDiversity(points).value(), 5.0);
  EXPECT_EQ(ComputeDiversity(torch::ones({9, 4}, torch::kDouble)).value(), 0.0);
  EXPECT_EQ(ComputeDiversity(points.narrow(0, 0, 1)).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace atelier::metrics
