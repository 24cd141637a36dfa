#include "server/queue/waiting_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using Id = WaitingLines::Id;
using Line = WaitingLines::Line;

class WaitingLinesTest : public ::testing::Test {
 protected:
  void Join(Id id, Priority priority, absl::Duration work = absl::Seconds(1)) {
    places_[id] = lines_.Join(id, priority, work);
  }
  void Return(Id id, Priority priority) {
    places_[id] = lines_.Return(id, priority, absl::Seconds(1));
  }
  // The next `count`, or as many as there are.
  std::vector<Id> Serve(int count) {
    std::vector<Id> served;
    for (int i = 0; i < count && lines_.Next().has_value(); ++i) {
      served.push_back(*lines_.Next());
      lines_.Serve(places_.at(served.back()));
    }
    return served;
  }
  // How many of the next 21 are of each hundred of ids: 100 high, 200 normal, 300 low.
  std::vector<int> TurnsOf21() {
    std::vector<int> turns(3);
    for (const Id id : Serve(21)) {
      ++turns.at(id / 100 - 1);
    }
    return turns;
  }

  WaitingLines lines_;
  std::map<Id, WaitingLines::Place> places_;
};

TEST_F(WaitingLinesTest, Of21FromFullLinesSixteenAreHighFourNormalAndOneLow) {
  for (Id i = 0; i < 60; ++i) {
    Join(300 + i, Priority::kLow);
    Join(200 + i, Priority::kNormal);
    Join(100 + i, Priority::kHigh);
  }
  EXPECT_THAT(TurnsOf21(), ElementsAre(16, 4, 1));
  EXPECT_THAT(TurnsOf21(), ElementsAre(16, 4, 1));
  EXPECT_THAT(TurnsOf21(), ElementsAre(16, 4, 1));
}

TEST_F(WaitingLinesTest, LowAloneIsServedAtOnceAndTheFirstHighAfterItToo) {
  Join(300, Priority::kLow);
  Join(301, Priority::kLow);
  EXPECT_THAT(Serve(1), ElementsAre(300));
  Join(100, Priority::kHigh);
  EXPECT_THAT(Serve(2), ElementsAre(100, 301));
}

TEST_F(WaitingLinesTest, FirstInIsFirstOutWithinAPriority) {
  for (const Id id : {7, 3, 5}) {
    Join(id, Priority::kNormal);
  }
  EXPECT_THAT(Serve(9), ElementsAre(7, 3, 5));
}

TEST_F(WaitingLinesTest, TurnsAreNotSavedUpWhileALineIsEmpty) {
  for (Id i = 0; i < 90; ++i) {
    Join(100 + i, Priority::kHigh);
  }
  Serve(60);
  for (Id i = 0; i < 5; ++i) {
    Join(300 + i, Priority::kLow);
  }
  int low = 0;
  for (const Id id : Serve(17)) {
    low += id >= 300 ? 1 : 0;
  }
  EXPECT_EQ(low, 1);
}

TEST_F(WaitingLinesTest, LineThatEmptiesAgainAndAgainGetsNoMoreThanItsShare) {
  for (Id i = 0; i < 90; ++i) {
    Join(100 + i, Priority::kHigh);
  }
  int low = 0;
  Id next_low = 1000;
  Join(next_low, Priority::kLow);
  for (int i = 0; i < 51; ++i) {
    if (Serve(1).front() == next_low) {
      ++low;
      Join(++next_low, Priority::kLow);
    }
  }
  EXPECT_EQ(low, 3);
}

TEST_F(WaitingLinesTest, ReturnedGoFirstByPriorityThenByAge) {
  Join(100, Priority::kHigh);
  Return(52, Priority::kNormal);
  Return(51, Priority::kNormal);
  Return(90, Priority::kHigh);
  EXPECT_THAT(Serve(9), ElementsAre(90, 51, 52, 100));
}

TEST_F(WaitingLinesTest, WhatIsPutAsideGoesWhenNothingElseWaitsTheLatestDeadlineFirst) {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  for (const Id id : {1, 2, 3}) {
    Join(id, Priority::kHigh);
  }
  Join(4, Priority::kLow);
  places_[1] = lines_.PutAside(places_.at(1), now + absl::Seconds(5));
  places_[2] = lines_.PutAside(places_.at(2), now + absl::Seconds(9));
  EXPECT_EQ(lines_.length(Line::kAside).requests, 2U);
  EXPECT_THAT(Serve(9), ElementsAre(3, 4, 2, 1));
}

TEST_F(WaitingLinesTest, LengthsFollowAndComeBackToZero) {
  Join(1, Priority::kHigh, absl::Seconds(2));
  Join(2, Priority::kHigh, absl::Milliseconds(3));
  Join(3, Priority::kLow, absl::Seconds(7));
  EXPECT_EQ(lines_.length(Line::kHigh).requests, 2U);
  EXPECT_EQ(lines_.length(Line::kHigh).work, absl::Milliseconds(2003));
  lines_.Leave(places_.at(2));
  places_[3] = lines_.PutAside(places_.at(3), absl::InfiniteFuture());
  EXPECT_EQ(lines_.length(Line::kHigh).work, absl::Seconds(2));
  EXPECT_EQ(lines_.length(Line::kLow).work, absl::ZeroDuration());
  EXPECT_EQ(lines_.length(Line::kAside).work, absl::Seconds(7));
  Serve(2);
  EXPECT_TRUE(lines_.empty());
  for (const Line line : {Line::kHigh, Line::kNormal, Line::kLow, Line::kReturned, Line::kAside}) {
    EXPECT_EQ(lines_.length(line).requests, 0U);
    EXPECT_EQ(lines_.length(line).work, absl::ZeroDuration());
  }
  EXPECT_EQ(lines_.Next(), std::nullopt);
}

}  // namespace
}  // namespace atelier::server
