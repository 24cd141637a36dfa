#include "bench/load/open_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "bench/load/summary.h"

namespace atelier::bench {
namespace {

using ::testing::ElementsAre;

TEST(DueTimesTest, AreAPoissonProcessOfTheRateAsked) {
  const std::vector<absl::Duration> due =
      DueTimes({.rate = 50, .duration = absl::Seconds(200), .seed = 3});
  EXPECT_TRUE(std::ranges::is_sorted(due));
  EXPECT_LT(due.back(), absl::Seconds(200));
  // 10,000 on average with a deviation of 100.
  EXPECT_NEAR(static_cast<double>(due.size()), 10'000, 400);
  // Exponential times between: a share of 1/e is longer than the mean.
  int longer = 0;
  for (std::size_t i = 1; i < due.size(); ++i) {
    longer += due[i] - due[i - 1] > absl::Milliseconds(20) ? 1 : 0;
  }
  EXPECT_NEAR(longer / static_cast<double>(due.size()), 0.368, 0.02);
}

TEST(DueTimesTest, DependOnTheSeedAlone) {
  const OpenLoop load{.rate = 10, .duration = absl::Seconds(5), .seed = 1};
  EXPECT_EQ(DueTimes(load), DueTimes(load));
  EXPECT_NE(DueTimes(load), DueTimes({.rate = 10, .duration = absl::Seconds(5), .seed = 2}));
}

TEST(OfferTest, StartsEveryCallWhetherOrNotEarlierOnesWereAnswered) {
  const OpenLoop load{.rate = 2000, .duration = absl::Milliseconds(50), .seed = 1};
  const std::size_t calls = DueTimes(load).size();
  ASSERT_GT(calls, 10U);
  std::vector<std::function<void(absl::Status)>> open;
  // Nothing is answered before the last call has started.
  const std::vector<CallRecord> records =
      Offer(load, [&](std::size_t index, std::function<void(absl::Status)> done) {
        EXPECT_EQ(index, open.size());
        open.push_back(std::move(done));
        if (open.size() == calls) {
          for (const auto& answer : open) {
            answer(absl::OkStatus());
          }
        }
      });
  ASSERT_EQ(records.size(), calls);
  EXPECT_GE(records.front().since_due, records.back().since_due);
}

TEST(OfferDuringTest, OffersUntilTheWorkIsDone) {
  std::atomic<int> calls = 0;
  const std::vector<CallRecord> records = OfferDuring(
      5000,
      [&](std::size_t, const std::function<void(absl::Status)>& done) {
        ++calls;
        done(absl::OkStatus());
      },
      [&] {
        while (calls < 20) {
          std::this_thread::yield();
        }
      });
  EXPECT_GE(records.size(), 20U);
  EXPECT_EQ(records.size(), static_cast<std::size_t>(calls));
}

TEST(ClosedLoopTest, KeepsOneCallOfEachClientInFlight) {
  std::atomic<int> in_flight = 0;
  std::atomic<int> most = 0;
  const std::vector<CallRecord> records = ClosedLoop(
      3, absl::Milliseconds(30), [&](std::size_t, const std::function<void(absl::Status)>& done) {
        const int now = ++in_flight;
        int seen = most;
        while (now > seen && !most.compare_exchange_weak(seen, now)) {
        }
        --in_flight;
        done(absl::UnavailableError("no"));
      });
  EXPECT_LE(most, 3);
  ASSERT_FALSE(records.empty());
  EXPECT_TRUE(std::ranges::all_of(records, [](const CallRecord& record) {
    return record.code == absl::StatusCode::kUnavailable;
  }));
}

TEST(SummarizeTest, TellsAnswersRefusalsLateOnesAndFailuresApart) {
  const absl::Duration ms = absl::Milliseconds(1);
  const Summary summary = Summarize({
      {.since_due = 7 * ms, .latency = 5 * ms, .code = absl::StatusCode::kOk},
      {.since_due = 9 * ms, .latency = 2 * ms, .code = absl::StatusCode::kResourceExhausted},
      {.code = absl::StatusCode::kDeadlineExceeded},
      {.code = absl::StatusCode::kUnavailable},
      {.code = absl::StatusCode::kInternal},
  });
  EXPECT_EQ(summary.calls, 5U);
  EXPECT_EQ(summary.ok, 1U);
  EXPECT_EQ(summary.refused, 1U);
  EXPECT_EQ(summary.late, 1U);
  EXPECT_EQ(summary.failed, 2U);
  EXPECT_THAT(summary.ok_ms, ElementsAre(7));
  EXPECT_THAT(summary.refused_ms, ElementsAre(2));
}

}  // namespace
}  // namespace atelier::bench
