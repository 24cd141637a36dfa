// Random sequences of everything that can happen to a queue, compared with a model that is too
// simple to be wrong; and after each nothing may be left over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/queue/queue_fixture.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using testing::Answers;
using ::testing::HasSubstr;
using testing::SampleOutcome;
using testing::SampleWork;
using Loss = RequestQueue::Loss;

constexpr std::size_t kMaxWaiting = 12;
constexpr std::size_t kMaxOfClient = 5;
constexpr std::uint64_t kMaxBytes = 3000;

class QueueModelTest : public testing::QueueFixture,
                       public ::testing::WithParamInterface<unsigned> {
 protected:
  struct Known {
    Answers answers;
    absl::Time deadline;
    std::string client;
    std::uint64_t bytes = 0;
    bool waiting = true;
    bool was_out = false;
    int losses = 0;
  };

  QueueModelTest()
      : QueueFixture({.max_waiting = kMaxWaiting,
                      .max_bytes = kMaxBytes,
                      .per_client = {.max_waiting = kMaxOfClient}}) {}

  int Pick(int below) { return static_cast<int>(random_() % static_cast<unsigned>(below)); }

  std::size_t Waiting(const std::string& client = "") const {
    std::size_t waiting = 0;
    for (const auto& [id, known] : known_) {
      waiting += known.waiting && (client.empty() || known.client == client) ? 1 : 0;
    }
    return waiting;
  }
  std::uint64_t Held() const {
    std::uint64_t bytes = 0;
    for (const auto& [client, held] : held_) {
      bytes += held;
    }
    return bytes;
  }
  std::uint64_t Bytes() const {
    std::uint64_t bytes = Held();
    for (const auto& [id, known] : known_) {
      bytes += known.bytes;
    }
    return bytes;
  }
  // What may go out: while answers hold too much, what was out before.
  bool MayGoOut() const {
    return std::ranges::any_of(known_, [&](const auto& entry) {
      return entry.second.waiting && (entry.second.was_out || Held() <= kMaxBytes);
    });
  }

  void Enqueue() {
    Known known{.deadline = clock_.Now() + absl::Seconds(1 + Pick(30)),
                .client = "client-" + std::to_string(Pick(3)),
                .bytes = static_cast<std::uint64_t>(1 + Pick(900))};
    const bool fits = Waiting() < kMaxWaiting && Waiting(known.client) < kMaxOfClient &&
                      (Bytes() == 0 || Bytes() + known.bytes <= kMaxBytes);
    const RequestId id = queue_.NextId();
    auto request = std::make_unique<Request>(
        id, SampleWork(known.bytes),
        RequestTraits{.model = "m@" + std::to_string(Pick(2)),
                      .client = known.client,
                      .priority = static_cast<Priority>(Pick(kPriorities))},
        known.deadline, known.answers.Expect());
    EXPECT_EQ(queue_.Enqueue(request).ok(), fits);
    if (fits) {
      known_.emplace(id, known);
    }
  }

  void Take() {
    const auto next = queue_.TakeNext();
    EXPECT_EQ(next.has_value(), MayGoOut());
    if (next.has_value()) {
      Known& known = known_.at(next->id);
      EXPECT_TRUE(known.waiting);
      EXPECT_TRUE(known.was_out || Held() <= kMaxBytes);
      known.was_out = true;
      EXPECT_EQ(next->alone, known.losses > 0);
      known.waiting = false;
    }
  }

  // Any request, or one that is with a worker; 0: there is none.
  RequestId Some(bool dispatched) {
    std::vector<RequestId> ids;
    for (const auto& [id, known] : known_) {
      if (!dispatched || !known.waiting) {
        ids.push_back(id);
      }
    }
    return ids.empty() ? 0 : ids.at(random_() % ids.size());
  }

  void Answered(RequestId id, absl::StatusCode code) {
    EXPECT_EQ(known_.at(id).answers.code(), code);
    known_.erase(id);
  }

  void Complete() {
    if (const RequestId id = Some(true); id != 0) {
      // Not a good one: nothing is to be measured, so that no deadline seems out of reach.
      EXPECT_TRUE(queue_.Complete(id, absl::DataLossError("damaged")));
      Answered(id, absl::StatusCode::kDataLoss);
      EXPECT_FALSE(queue_.Complete(id, SampleOutcome()));
    }
  }

  void Requeue() {
    if (const RequestId id = Some(true); id != 0) {
      const bool begun = Pick(3) > 0;
      queue_.Requeue(id, begun ? Loss::kDied : Loss::kNotBegun);
      Known& known = known_.at(id);
      known.losses += begun ? 1 : 0;
      known.waiting = true;
      if (known.losses == 2) {
        Answered(id, absl::StatusCode::kUnavailable);
      }
    }
  }

  // An answer that is not taken, or the end of one.
  void Hold() {
    if (Pick(2) == 0 && held_.size() < 4) {
      held_.emplace_back("client-" + std::to_string(Pick(3)), 1 + Pick(2000));
      queue_.HoldAnswer(held_.back().first, held_.back().second);
    } else if (!held_.empty()) {
      queue_.ReleaseAnswer(held_.front().first, held_.front().second);
      held_.pop_front();
    }
  }

  void Cancel() {
    if (const RequestId id = Some(false); id != 0) {
      queue_.Cancel(id);
      Answered(id, absl::StatusCode::kCancelled);
    }
  }

  void Advance() {
    clock_.Advance(absl::Milliseconds(100 * Pick(40)));
    for (auto entry = known_.begin(); entry != known_.end();) {
      const auto here = entry++;
      if (here->second.deadline <= clock_.Now()) {
        EXPECT_TRUE(WaitUntil([&] { return here->second.answers.count() == 1; }));
        Answered(here->first, absl::StatusCode::kDeadlineExceeded);
      }
    }
  }

  std::mt19937 random_{GetParam()};
  std::map<RequestId, Known> known_;                        // accepted and not answered
  std::deque<std::pair<std::string, std::uint64_t>> held_;  // answers: client, bytes
};

TEST_P(QueueModelTest, EveryStateIsAsTheModelHasItAndNothingIsLeftAtTheEnd) {
  for (int step = 0; step < 400; ++step) {
    const int what = Pick(13);
    if (what < 5) {
      Enqueue();
    } else if (what < 8) {
      Take();
    } else if (what == 8) {
      Complete();
    } else if (what == 9) {
      Requeue();
    } else if (what == 10) {
      Cancel();
    } else if (what == 11) {
      Hold();
    } else {
      Advance();
    }
    ASSERT_EQ(queue_.waiting(), Waiting()) << "step " << step;
  }
  queue_.FailAll(absl::UnavailableError("the end"));
  for (const auto& [client, bytes] : held_) {
    queue_.ReleaseAnswer(client, bytes);
  }
  for (auto& [id, known] : known_) {
    EXPECT_EQ(known.answers.code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(queue_.waiting(), 0U);
  EXPECT_FALSE(queue_.TakeNext().has_value());
  EXPECT_TRUE(queue_.AwaitEmpty(clock_.Now()));
  for (const char* zero :
       {"atelier_queue_bytes 0", "atelier_queue_depth{priority=\"high\"} 0",
        "atelier_queue_depth{priority=\"normal\"} 0", "atelier_queue_depth{priority=\"low\"} 0"}) {
    EXPECT_THAT(Metrics(), HasSubstr(zero));
  }
  // What one client used is free again.
  Answers answers;
  for (std::size_t i = 0; i < kMaxOfClient; ++i) {
    EXPECT_TRUE(Offer(answers, {.client = "client-0"}).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, QueueModelTest, ::testing::Range(1U, 13U));

}  // namespace
}  // namespace atelier::server
