#include "server/queue/load_estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace atelier::server {
namespace {

using Backlog = LoadEstimate::Backlog;
using Length = WaitingLines::Length;

RequestTraits Of(const char* model, double megapixels, Priority priority = Priority::kNormal) {
  return {.model = model, .priority = priority, .megapixels = megapixels};
}

Length Requests(std::size_t count, absl::Duration each) {
  return {.requests = count, .work = static_cast<double>(count) * each};
}

class LoadEstimateTest : public ::testing::Test {
 protected:
  // Workers do `parallel` requests of `work` at a time for a while, without a pause.
  void Run(const RequestTraits& traits, absl::Duration work, int parallel, int rounds = 20) {
    for (int round = 0; round < rounds; ++round) {
      now_ += work;
      for (int i = 0; i < parallel; ++i) {
        load_.Done(traits, work, now_);
      }
    }
  }
  double ReadySeconds(const RequestTraits& traits, const Backlog& backlog) {
    return absl::ToDoubleSeconds(load_.ReadyIn(traits, backlog, now_).value());
  }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  LoadEstimate load_;
};

TEST_F(LoadEstimateTest, CostIsOfAMegapixelAndOfAModelThenOfAllModels) {
  EXPECT_EQ(load_.WorkOf(Of("oil@1", 4)), absl::ZeroDuration());
  load_.Done(Of("oil@1", 2), absl::Seconds(1), now_);
  EXPECT_EQ(load_.WorkOf(Of("oil@1", 4)), absl::Seconds(2));
  EXPECT_EQ(load_.WorkOf(Of("new@1", 4)), absl::Seconds(2)) << "what is known of others";
  load_.Done(Of("new@1", 1), absl::Seconds(3), now_);
  EXPECT_EQ(load_.WorkOf(Of("new@1", 1)), absl::Seconds(3));
  EXPECT_EQ(load_.WorkOf(Of("oil@1", 4)), absl::Seconds(2));
}

TEST_F(LoadEstimateTest, AnOutlierMovesTheCostLittleManyMoveIt) {
  Run(Of("oil@1", 1), absl::Seconds(1), 1);
  load_.Done(Of("oil@1", 1), absl::Hours(1), now_);
  EXPECT_LT(load_.WorkOf(Of("oil@1", 1)), absl::Seconds(1.5));
  Run(Of("oil@1", 1), absl::Seconds(9), 1, 60);
  EXPECT_NEAR(absl::ToDoubleSeconds(load_.WorkOf(Of("oil@1", 1))), 9, 0.5);
}

TEST_F(LoadEstimateTest, NothingSpeaksAgainstARequestBeforeAnythingWasMeasured) {
  const Backlog backlog{.lines = {Requests(100, absl::Seconds(1))}};
  EXPECT_EQ(load_.ReadyIn(Of("oil@1", 1), backlog, now_), std::nullopt);
}

TEST_F(LoadEstimateTest, NothingSpeaksAgainstARequestThatAWorkerHasRoomFor) {
  load_.SetSlots(2);
  Run(Of("oil@1", 1), absl::Hours(1), 2);
  EXPECT_EQ(load_.ReadyIn(Of("oil@1", 1), {}, now_), std::nullopt);
  const Backlog one{.in_work = Requests(1, absl::Hours(1))};
  EXPECT_EQ(load_.ReadyIn(Of("oil@1", 1), one, now_), std::nullopt);
  const Backlog two{.in_work = Requests(2, absl::Hours(1))};
  EXPECT_TRUE(load_.ReadyIn(Of("oil@1", 1), two, now_).has_value());
}

TEST_F(LoadEstimateTest, WorkAheadIsSharedByWhatRunsAtATimeOwnWorkIsNot) {
  load_.SetSlots(4);
  Run(Of("oil@1", 1), absl::Seconds(1), 4);
  const Backlog backlog{
      .lines = {Length(), Requests(12, absl::Seconds(1)), Length()},
      .in_work = Requests(4, absl::Seconds(1)),
  };
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 1), backlog), (12 + 4) / 4.0 + 1, 0.2);
  // What is in work gets on.
  now_ += absl::Seconds(0.5);
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 1), backlog), (12 + 2) / 4.0 + 1, 0.2);
}

TEST_F(LoadEstimateTest, ParallelismIsMeasuredWhereSlotsPromiseMore) {
  load_.SetSlots(8);
  // Two at a time, whatever the workers say.
  Run(Of("oil@1", 1), absl::Seconds(1), 2, 60);
  const Backlog backlog{.lines = {Length(), Requests(10, absl::Seconds(1)), Length()}};
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 1), backlog), 10 / 2.0 + 1, 0.3);
  // Half of the workers go: half as much gets done.
  load_.SetSlots(4);
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 1), backlog), 10 / 1.0 + 1, 0.6);
  load_.SetSlots(0);  // the last one is restarted: nothing new is known
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 1), backlog), 10 / 1.0 + 1, 0.6);
}

TEST_F(LoadEstimateTest, IdleTimeIsNoLackOfSpeed) {
  load_.SetSlots(2);
  Run(Of("oil@1", 1), absl::Seconds(1), 2);
  for (int i = 0; i < 100; ++i) {
    load_.Starved();
    now_ += absl::Minutes(1);
    load_.Done(Of("oil@1", 1), absl::Seconds(1), now_);
  }
  load_.Starved();
  const Backlog backlog{.lines = {Length(), Requests(10, absl::Seconds(1)), Length()}};
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 1), backlog), 10 / 2.0 + 1, 0.2);
}

TEST_F(LoadEstimateTest, HigherPriorityHasLessAheadAndLowerHasWhatOvertakesIt) {
  load_.SetSlots(1);
  Run(Of("oil@1", 1), absl::Seconds(1), 1);
  for (int i = 0; i < 40; ++i) {
    load_.Arrived(Priority::kHigh, absl::Seconds(1), now_ - absl::Hours(1));
  }
  const Backlog backlog{.lines = {Requests(40, absl::Seconds(1)), Length(), Length()}};
  // One low turn comes after sixteen high ones, one normal turn after four.
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 1, Priority::kLow), backlog), 16 + 1, 0.2);
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 1, Priority::kNormal), backlog), 4 + 1, 0.2);
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 1, Priority::kHigh), backlog), 40 + 1, 0.2);
}

TEST_F(LoadEstimateTest, WhatArrivesMeanwhileCountsForThoseItOvertakes) {
  load_.SetSlots(1);
  Run(Of("oil@1", 1), absl::Seconds(1), 1);
  const Backlog backlog{.lines = {Length(), Length(), Requests(3, absl::Seconds(1))}};
  const double quiet = ReadySeconds(Of("oil@1", 1, Priority::kLow), backlog);
  EXPECT_NEAR(quiet, 3 + 1, 0.2);
  for (int i = 0; i < 20; ++i) {  // one in two seconds: half of what can be done
    now_ += absl::Seconds(2);
    load_.Began(now_);
    load_.Arrived(Priority::kHigh, absl::Seconds(1), now_);
  }
  const double busy = ReadySeconds(Of("oil@1", 1, Priority::kLow), backlog);
  EXPECT_GT(busy, 2 * 3 + 1 - 0.5);
  EXPECT_LT(busy, 16 + 1);
}

TEST_F(LoadEstimateTest, CautionFollowsHowWrongEstimatesWereAndIsBounded) {
  for (int i = 0; i < 500; ++i) {
    load_.Compare(absl::Seconds(1), absl::Seconds(1));
  }
  EXPECT_DOUBLE_EQ(load_.caution(), 1.25) << "never less";
  load_.Compare(absl::Seconds(1), absl::Hours(9));
  EXPECT_LT(load_.caution(), 2) << "one outlier";
  for (int i = 0; i < 500; ++i) {
    load_.Compare(absl::Seconds(1), absl::Seconds(i % 2 == 0 ? 1.2 : 1.6));
  }
  EXPECT_GT(load_.caution(), 1.6);
  EXPECT_LT(load_.caution(), 2.4);
  for (int i = 0; i < 500; ++i) {
    load_.Compare(absl::Seconds(1), absl::Hours(1));
  }
  EXPECT_EQ(load_.caution(), 3);
  for (int i = 0; i < 500; ++i) {
    load_.Compare(absl::Seconds(10), absl::Seconds(1));
  }
  EXPECT_DOUBLE_EQ(load_.caution(), 1.25) << "never bold";
}

TEST_F(LoadEstimateTest, ALargePictureBesideSmallOnesIsNotHeldToCostAHundredTimesAsMuch) {
  load_.SetSlots(1);
  // A thumbnail costs 25 ms, nearly all of it whatever its size.
  Run(Of("oil@1", 0.004), absl::Milliseconds(25), 1, 300);
  const Backlog backlog{.lines = {Length(), Requests(13, absl::Milliseconds(25)), Length()}};
  EXPECT_LT(ReadySeconds(Of("oil@1", 2.4), backlog), 2) << "no such size was seen";
  EXPECT_NEAR(ReadySeconds(Of("oil@1", 0.004), backlog), 14 * 0.025, 0.05);

  load_.Done(Of("oil@1", 2.4), absl::Seconds(0.6), now_);
  Run(Of("oil@1", 0.004), absl::Milliseconds(25), 1, 300);
  EXPECT_NEAR(absl::ToDoubleSeconds(load_.WorkOf(Of("oil@1", 2.4))), 0.6, 0.01)
      << "one of a kind is not forgotten for many others";
  EXPECT_NEAR(absl::ToDoubleSeconds(load_.WorkOf(Of("oil@1", 0.004))), 0.025, 0.001);
}

TEST_F(LoadEstimateTest, ManyModelsDoNotPileUp) {
  for (int version = 0; version < 5000; ++version) {
    now_ += absl::Seconds(1);
    const std::string model = "oil@" + std::to_string(version);
    load_.Done(Of(model.c_str(), 1), absl::Seconds(1), now_);
  }
  load_.Done(Of("oil@4999", 1), absl::Seconds(1), now_);
  EXPECT_EQ(load_.WorkOf(Of("oil@4999", 2)), absl::Seconds(2));
}

}  // namespace
}  // namespace atelier::server
