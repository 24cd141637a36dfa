#include "server/queue/size_cost.h"

#include <gtest/gtest.h>

namespace atelier::server {
namespace {

class SizeCostTest : public ::testing::Test {
 protected:
  void Measure(double megapixels, double seconds, int times = 20) {
    for (int i = 0; i < times; ++i) {
      cost_.Measure(megapixels, seconds, now_);
    }
  }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  SizeCost cost_;
};

TEST_F(SizeCostTest, OneSizeTellsOfThoseNearItInProportion) {
  EXPECT_FALSE(cost_.known());
  EXPECT_EQ(cost_.Of(1), 0);
  Measure(1, 2);
  EXPECT_DOUBLE_EQ(cost_.Of(1), 2);
  EXPECT_DOUBLE_EQ(cost_.Of(0.5), 1);
  EXPECT_DOUBLE_EQ(cost_.Of(4), 8);
  EXPECT_DOUBLE_EQ(cost_.Of(100), 8) << "nobody knows, and no guess is to refuse it";
}

TEST_F(SizeCostTest, TwoSizesTellTheFixedPartAndThePriceOfAMegapixel) {
  // 0.02 + 0.25 * megapixels
  Measure(0.004, 0.021);
  Measure(2.4, 0.62);
  EXPECT_NEAR(cost_.Of(0.004), 0.021, 1e-9);
  EXPECT_NEAR(cost_.Of(0.1), 0.045, 0.001);
  EXPECT_NEAR(cost_.Of(1), 0.27, 0.001);
  EXPECT_NEAR(cost_.Of(2.4), 0.62, 1e-9);
  EXPECT_NEAR(cost_.Of(4.8), 1.22, 0.01);
  EXPECT_NEAR(cost_.Of(200), 0.02 + 0.25 * 4 * 2.4, 0.02);
  EXPECT_NEAR(cost_.Of(0.001), 0.02, 0.001) << "the fixed part stays";
}

TEST_F(SizeCostTest, ACostThatFallsWithTheSizeIsNeverNegative) {
  Measure(0.1, 1);
  Measure(1, 0.5);
  Measure(2.5, 0.6);
  for (const double size : {0.0001, 0.05, 0.1, 0.5, 1.0, 2.0, 3.0, 50.0}) {
    EXPECT_GT(cost_.Of(size), 0) << size;
    EXPECT_LT(cost_.Of(size), 1.5) << size;
  }
}

TEST_F(SizeCostTest, AnOutlierOfASizeMovesItLittle) {
  Measure(1, 1);
  cost_.Measure(1, 3600, now_);
  EXPECT_LT(cost_.Of(1), 1.5);
}

TEST_F(SizeCostTest, ASizeThatWasMeasuredLongAgoIsForgottenOnceOthersAreKnown) {
  Measure(2.4, 3600, 1);
  now_ += SizeCost::kMemory / 2;
  Measure(0.004, 0.025);
  EXPECT_GT(cost_.Of(2.4), 3000);
  now_ += SizeCost::kMemory;
  Measure(0.004, 0.025, 1);
  EXPECT_LT(cost_.Of(2.4), 1);
}

}  // namespace
}  // namespace atelier::server
