#include "server/dispatch/circuit_breaker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace atelier::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CircuitBreakerTest : public ::testing::Test {
 protected:
  void FailThrice() {
    for (int i = 0; i < 3; ++i) {
      breaker_.Failed(0, now_);
    }
  }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  CircuitBreaker breaker_{{}};
};

TEST_F(CircuitBreakerTest, OpensAtThreeFailuresWithinAMinute) {
  breaker_.Failed(0, now_);
  breaker_.Failed(0, now_ + absl::Seconds(30));
  EXPECT_EQ(breaker_.state(now_ + absl::Seconds(30)), BreakerState::kClosed);
  // The first is a minute old.
  breaker_.Failed(0, now_ + absl::Seconds(60));
  EXPECT_EQ(breaker_.state(now_ + absl::Seconds(60)), BreakerState::kClosed);
  breaker_.Failed(0, now_ + absl::Seconds(61));
  EXPECT_EQ(breaker_.state(now_ + absl::Seconds(61)), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, OneRequestThatFailsAgainAndAgainCountsOnce) {
  for (int i = 0; i < 10; ++i) {
    breaker_.Failed(7, now_);
  }
  EXPECT_EQ(breaker_.state(now_), BreakerState::kClosed);
  breaker_.Failed(8, now_);
  breaker_.Failed(9, now_);
  EXPECT_EQ(breaker_.state(now_), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, OneModelThatFailsBesideOthersThatWorkIsNotTheWorkersFault) {
  breaker_.Worked("oil@1", now_);
  for (std::uint64_t cause = 1; cause <= 100; ++cause) {
    breaker_.Failed(cause, now_, "broken@1");
  }
  EXPECT_EQ(breaker_.state(now_), BreakerState::kClosed);
  // Nothing works any more: that is the worker.
  breaker_.Failed(101, now_, "oil@1");
  EXPECT_EQ(breaker_.state(now_), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, WhatWorkedLongAgoTellsNothingAndLossesAlwaysCount) {
  breaker_.Worked("oil@1", now_);
  now_ += absl::Minutes(1);
  for (std::uint64_t cause = 1; cause <= 3; ++cause) {
    breaker_.Failed(cause, now_, "broken@1");
  }
  EXPECT_EQ(breaker_.state(now_), BreakerState::kOpen);
  breaker_.Succeeded();
  breaker_.Worked("oil@1", now_);
  FailThrice();
  EXPECT_EQ(breaker_.state(now_), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, BackoffDoublesWithEachFailedTrialUpToAMinute) {
  FailThrice();
  for (const int seconds : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(breaker_.open_until(), now_ + absl::Seconds(seconds));
    now_ = breaker_.open_until();
    EXPECT_EQ(breaker_.state(now_ - absl::Nanoseconds(1)), BreakerState::kOpen);
    EXPECT_EQ(breaker_.state(now_), BreakerState::kHalfOpen);
    breaker_.Failed(0, now_);
  }
}

TEST_F(CircuitBreakerTest, SuccessClosesItAndTheNextOpeningIsShortAgain) {
  FailThrice();
  now_ = breaker_.open_until();
  breaker_.Failed(0, now_);
  now_ = breaker_.open_until();
  breaker_.Succeeded();
  EXPECT_EQ(breaker_.state(now_), BreakerState::kClosed);
  FailThrice();
  EXPECT_EQ(breaker_.open_until(), now_ + absl::Seconds(1));
}

TEST_F(CircuitBreakerTest, WhatFailsWhileItIsOpenDoesNotCount) {
  FailThrice();
  const absl::Time until = breaker_.open_until();
  FailThrice();
  EXPECT_EQ(breaker_.open_until(), until);
}

TEST_F(CircuitBreakerTest, TableForgetsWorkersThatAreGoneAndWereGoodOrAreGoneForLong) {
  prometheus::Registry registry;
  DispatchProbe probe(registry);
  BreakerTable table({}, probe);
  const auto metrics = [&] { return prometheus::TextSerializer().Serialize(registry.Collect()); };
  table.Connected("good", now_);
  table.Connected("bad", now_);
  table.Failed("bad", 0, now_);
  EXPECT_THAT(metrics(), HasSubstr("worker=\"good\""));
  table.Disconnected("good", now_);
  table.Disconnected("bad", now_);
  EXPECT_EQ(table.size(), 1U);
  EXPECT_THAT(metrics(), Not(HasSubstr("worker=\"good\"")));
  table.Connected("other", now_ + absl::Minutes(1));
  EXPECT_EQ(table.size(), 1U);
  EXPECT_THAT(metrics(), Not(HasSubstr("worker=\"bad\"")));
}

}  // namespace
}  // namespace atelier::server
