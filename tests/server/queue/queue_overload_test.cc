// Workers and callers in fake time: what comes of more work than can be done.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "tests/server/queue/queue_fixture.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using testing::Answers;
using testing::SampleOutcome;

struct Offered {
  absl::Duration work;  // what the request takes when it is computed alone
  absl::Duration left;
  Priority priority = Priority::kNormal;
};

struct Load {
  int workers = 2;
  int batch = 1;           // tasks that a worker computes together, in the time of the longest
  double per_second = 20;  // Poisson arrivals
  absl::Duration length = absl::Minutes(1);
  std::function<Offered(std::mt19937&)> next;
};

struct Outcomes {
  int good = 0;
  int late = 0;  // accepted, but not ready in time
  int refused = 0;
  double work = 0;  // seconds, of the good ones
};

class OverloadTest : public testing::QueueFixture {
 protected:
  OverloadTest() : QueueFixture({.max_waiting = 100000, .max_bytes = 1ULL << 40U}) {}
  // What still waits is answered while what the answers count in is there.
  ~OverloadTest() override { queue_.FailAll(absl::CancelledError("the test is over")); }

  Outcomes Run(const Load& load) {
    load_ = &load;
    queue_.SetSlots(static_cast<std::uint32_t>(load.workers * load.batch));
    idle_ = load.workers;
    const absl::Time end = clock_.Now() + load.length;
    std::exponential_distribution<double> gap(load.per_second);
    absl::Time arrival = clock_.Now();
    while (true) {
      const absl::Time next = busy_.empty() ? arrival : std::min(arrival, busy_.begin()->first);
      if (next >= end) {
        break;
      }
      clock_.Advance(next - clock_.Now());
      if (!busy_.empty() && busy_.begin()->first == next) {
        FinishBatch();
      } else {
        Arrive();
        arrival += absl::Seconds(gap(random_));
      }
      StartBatches();
    }
    return Counted();
  }

 private:
  void Arrive() {
    const Offered offered = load_->next(random_);
    const RequestId id = queue_.NextId();
    auto request = std::make_unique<Request>(
        id, testing::SampleWork(),
        RequestTraits{.model = "oil@1",
                      .priority = offered.priority,
                      .megapixels = absl::ToDoubleSeconds(offered.work)},
        clock_.Now() + offered.left, [this, offered](const absl::StatusOr<Outcome>& outcome) {
          const absl::MutexLock lock(&mutex_);
          ++(outcome.ok() ? outcomes_.good : outcomes_.late);
          outcomes_.work += outcome.ok() ? absl::ToDoubleSeconds(offered.work) : 0;
        });
    work_[id] = offered.work;
    if (!queue_.Enqueue(request).ok()) {
      const absl::MutexLock lock(&mutex_);
      ++outcomes_.refused;
    }
  }

  void StartBatches() {
    while (idle_ > 0) {
      std::vector<RequestId> batch;
      absl::Duration work;
      while (std::cmp_less(batch.size(), load_->batch)) {
        const auto next = queue_.TakeNext();
        if (!next.has_value()) {
          break;
        }
        batch.push_back(next->id);
        // Nothing takes exactly what is expected.
        work = std::max(work, work_.at(next->id) * noise_(random_));
      }
      if (batch.empty()) {
        return;
      }
      --idle_;
      busy_.emplace(clock_.Now() + work, Batch{.ids = batch, .work = work});
    }
  }

  void FinishBatch() {
    const Batch batch = busy_.begin()->second;
    busy_.erase(busy_.begin());
    ++idle_;
    for (const RequestId id : batch.ids) {
      auto outcome = SampleOutcome();
      outcome.compute_s = absl::ToDoubleSeconds(batch.work);
      queue_.Complete(id, outcome);
    }
  }

  Outcomes Counted() {
    const absl::MutexLock lock(&mutex_);
    return outcomes_;
  }

  struct Batch {
    std::vector<RequestId> ids;
    absl::Duration work;
  };

  const Load* load_ = nullptr;
  std::mt19937 random_{7};  // NOLINT(bugprone-random-generator-seed): the same load every time
  std::uniform_real_distribution<double> noise_{0.8, 1.2};
  int idle_ = 0;
  std::multimap<absl::Time, Batch> busy_;
  std::map<RequestId, absl::Duration> work_;
  absl::Mutex mutex_;
  Outcomes outcomes_ ABSL_GUARDED_BY(mutex_);
};

Offered Equal(std::mt19937& /*random*/) {
  return {.work = absl::Milliseconds(100), .left = absl::Seconds(2)};
}

TEST_F(OverloadTest, HalfTheLoadIsAllServed) {
  const Outcomes outcomes = Run({.per_second = 10, .next = Equal});
  EXPECT_EQ(outcomes.late, 0);
  EXPECT_LE(outcomes.refused, 3);
}

TEST_F(OverloadTest, AtTwiceTheCapacityWorkersStayBusyAndNothingIsLate) {
  const Outcomes outcomes = Run({.per_second = 40, .next = Equal});
  EXPECT_GE(outcomes.good, 0.95 * 20 * 60);
  EXPECT_EQ(outcomes.late, 0);
}

TEST_F(OverloadTest, AtFiveTimesTheCapacityWorkersStayBusyAndNothingIsLate) {
  const Outcomes outcomes = Run({.per_second = 100, .next = Equal});
  EXPECT_GE(outcomes.good, 0.95 * 20 * 60);
  EXPECT_EQ(outcomes.late, 0);
  EXPECT_GT(outcomes.refused, 3 * 20 * 60);
}

TEST_F(OverloadTest, BatchesAtFiveTimesTheCapacity) {
  // 2 * 8 in 0.4 s: 40 a second.
  const Outcomes outcomes =
      Run({.batch = 8, .per_second = 200, .next = [](std::mt19937&) {
             return Offered{.work = absl::Milliseconds(400), .left = absl::Seconds(3)};
           }});
  // A batch takes as long as its slowest member: 1.15 times the mean.
  EXPECT_GE(outcomes.good, 0.95 * 40 / 1.15 * 60);
  EXPECT_EQ(outcomes.late, 0);
}

TEST_F(OverloadTest, TightDeadlinesAtFiveTimesTheCapacity) {
  // Hardly twice what one takes: a queue of one is the most that can be kept.
  const Outcomes outcomes =
      Run({.per_second = 100, .next = [](std::mt19937&) {
             return Offered{.work = absl::Milliseconds(100), .left = absl::Milliseconds(250)};
           }});
  EXPECT_GE(outcomes.good, 0.9 * 20 * 60);
  EXPECT_LE(outcomes.late, 0.01 * outcomes.good);
}

TEST_F(OverloadTest, MixedSizesDeadlinesAndPrioritiesAtFiveTimesTheCapacity) {
  const Outcomes outcomes = Run({.per_second = 100, .next = [](std::mt19937& random) {
                                   const int kind = static_cast<int>(random() % 4);
                                   return Offered{.work = absl::Milliseconds(25 * (1 << kind)),
                                                  .left = absl::Milliseconds(500 + random() % 4500),
                                                  .priority = static_cast<Priority>(random() % 3)};
                                 }});
  EXPECT_GE(outcomes.work, 0.95 * 2 * 60);
  // Those that were accepted before anything was known of costs and arrivals.
  EXPECT_LE(outcomes.late, 0.01 * outcomes.good);
}

}  // namespace
}  // namespace atelier::server
