#include "server/dispatch/dispatcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "tests/server/dispatch/dispatch_fakes.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::FakeClock;
using test::WaitUntil;
using testing::Answers;
using ::testing::ElementsAre;
using testing::FakePort;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::SampleOutcome;
using testing::SampleWork;

class DispatcherTest : public ::testing::Test {
 protected:
  RequestId Add(Answers& answers, absl::Duration left = absl::Seconds(10)) {
    auto request = std::make_unique<Request>(queue_.NextId(), SampleWork(), RequestTraits(),
                                             clock_.Now() + left, answers.Expect());
    const RequestId id = request->id();
    EXPECT_TRUE(queue_.Enqueue(request).ok());
    return id;
  }

  std::shared_ptr<FakePort> Connect(WorkerId id, std::uint32_t credit, std::uint32_t slots = 1) {
    auto port = std::make_shared<FakePort>();
    dispatcher_.AddWorker(id, slots, port, "cpu-" + std::to_string(id));
    EXPECT_TRUE(dispatcher_.AddCredit(id, credit).ok());
    return port;
  }

  FakeClock clock_;
  prometheus::Registry registry_;
  QueueProbe probe_{registry_};
  RequestQueue queue_{{}, clock_, probe_};
  DispatchProbe dispatch_probe_{registry_};
  Dispatcher dispatcher_{queue_, clock_, dispatch_probe_};
};

TEST_F(DispatcherTest, WorkWaitsForCreditAndNeverPassesIt) {
  Answers answers;
  const RequestId a = Add(answers);
  const RequestId b = Add(answers);
  auto port = Connect(1, 1);
  EXPECT_THAT(port->tasks(), ElementsAre(a));
  ASSERT_TRUE(dispatcher_.OnResult(1, a, SampleOutcome()).ok());
  EXPECT_THAT(port->tasks(), ElementsAre(a)) << "a result is no credit";
  ASSERT_TRUE(dispatcher_.AddCredit(1, 1).ok());
  EXPECT_THAT(port->tasks(), ElementsAre(a, b));
}

TEST_F(DispatcherTest, CreditMayComeWithAResult) {
  Answers answers;
  const RequestId a = Add(answers);
  const RequestId b = Add(answers);
  auto port = Connect(1, 1);
  ASSERT_TRUE(dispatcher_.OnResult(1, a, SampleOutcome(), 1).ok());
  EXPECT_THAT(port->tasks(), ElementsAre(a, b));
  EXPECT_EQ(dispatcher_.OnResult(1, b, SampleOutcome(), Dispatcher::kMaxCredit + 1).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(answers.count(), 1U) << "who breaks the protocol is not believed";
}

TEST_F(DispatcherTest, SizeOfBatchesIsWhatTheWorkerSays) {
  Answers answers;
  const RequestId a = Add(answers);
  const RequestId b = Add(answers);
  Connect(1, 2);
  StylizeOutcome outcome = SampleOutcome();
  ASSERT_TRUE(dispatcher_.OnResult(1, a, outcome).ok());
  outcome.batch_size = 4;
  ASSERT_TRUE(dispatcher_.OnResult(1, b, outcome).ok());
  const std::string metrics = prometheus::TextSerializer().Serialize(registry_.Collect());
  EXPECT_THAT(metrics, HasSubstr("atelier_dispatched_total 2\n"));
  EXPECT_THAT(metrics, HasSubstr("atelier_batch_size_sum 5\n"));
  EXPECT_THAT(metrics, HasSubstr("atelier_batch_size_bucket{le=\"1\"} 1\n"));
}

TEST_F(DispatcherTest, LeastLoadedWorkerIsPicked) {
  auto small = Connect(1, 4, 1);
  auto large = Connect(2, 4, 3);
  for (const WorkerId id : {1, 2}) {
    dispatcher_.OnModelState(id, testing::SampleModel().weights_sha256, true);
  }
  Answers answers;
  for (int i = 0; i < 4; ++i) {
    Add(answers);
  }
  EXPECT_EQ(small->tasks().size(), 1U);
  EXPECT_EQ(large->tasks().size(), 3U);
}

TEST_F(DispatcherTest, IdleWorkersTakeTurns) {
  auto one = Connect(1, 10);
  auto two = Connect(2, 10);
  for (int i = 0; i < 4; ++i) {
    Answers answers;
    const RequestId id = Add(answers);
    const WorkerId holder = one->tasks().empty() || one->tasks().back() != id ? 2 : 1;
    ASSERT_TRUE(dispatcher_.OnResult(holder, id, SampleOutcome()).ok());
    EXPECT_EQ(answers.code(), absl::StatusCode::kOk);
  }
  EXPECT_EQ(one->tasks().size(), 2U);
  EXPECT_EQ(two->tasks().size(), 2U);
}

TEST_F(DispatcherTest, TasksOfALostWorkerGoToAnotherOneByOneInTheirOrderThenAreUnavailable) {
  Answers first;
  Answers second;
  Answers third;
  auto lost = Connect(1, 2);
  const RequestId a = Add(first);
  const RequestId b = Add(second);
  const RequestId c = Add(third);
  ASSERT_THAT(lost->tasks(), ElementsAre(a, b));
  dispatcher_.RemoveWorker(1);
  auto next = Connect(2, 3);
  EXPECT_THAT(next->tasks(), ElementsAre(a));
  ASSERT_TRUE(dispatcher_.OnResult(2, a, SampleOutcome()).ok());
  EXPECT_EQ(first.code(), absl::StatusCode::kOk);
  EXPECT_THAT(next->tasks(), ElementsAre(a, b));
  dispatcher_.RemoveWorker(2);
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(third.count(), 0U);
  auto last = Connect(3, 3);
  EXPECT_THAT(last->tasks(), ElementsAre(c));
}

TEST_F(DispatcherTest, ResultOfALostWorkerIsDropped) {
  Answers answers;
  Connect(1, 1);
  const RequestId a = Add(answers);
  dispatcher_.RemoveWorker(1);
  EXPECT_TRUE(dispatcher_.OnResult(1, a, SampleOutcome("old")).ok());
  Connect(2, 1);
  EXPECT_TRUE(dispatcher_.OnResult(2, a, SampleOutcome("new")).ok());
  EXPECT_EQ(testing::Stylized(answers).image, "new");
}

TEST_F(DispatcherTest, CancelledTaskIsCancelledAtTheWorkerAndItsResultDropped) {
  Answers answers;
  auto port = Connect(1, 1);
  const RequestId a = Add(answers);
  queue_.Cancel(a);
  EXPECT_THAT(port->cancels(), ElementsAre(a));
  EXPECT_TRUE(dispatcher_.OnResult(1, a, absl::CancelledError()).ok());
  EXPECT_EQ(answers.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(dispatcher_.OnResult(1, a, SampleOutcome()).ok()) << "only once";
}

TEST_F(DispatcherTest, ExpiredTaskStillCountsAsLoadUntilItsResultComes) {
  Answers expired;
  Answers answers;
  auto busy = Connect(1, 5);
  Add(expired, absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(WaitUntil([&] { return busy->cancels().size() == 1; }));
  auto idle = Connect(2, 5);
  Add(answers);
  EXPECT_EQ(idle->tasks().size(), 1U);
}

TEST_F(DispatcherTest, ResultForATaskThatTheWorkerDoesNotHoldIsAViolation) {
  Answers answers;
  Connect(1, 1);
  const RequestId a = Add(answers);
  Connect(2, 1);
  EXPECT_EQ(dispatcher_.OnResult(2, a, SampleOutcome()).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(dispatcher_.OnResult(1, 777, SampleOutcome()).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(answers.count(), 0U);
}

TEST_F(DispatcherTest, AnswerToAnotherQuestionIsAViolationAndTheTaskIsNotLost) {
  Answers answers;
  Connect(1, 1);
  const RequestId id = queue_.NextId();
  auto request = std::make_unique<Request>(id, testing::SampleGenerateWork(2), RequestTraits(),
                                           clock_.Now() + absl::Seconds(60), answers.Expect());
  ASSERT_TRUE(queue_.Enqueue(request).ok());
  EXPECT_EQ(dispatcher_.OnResult(1, id, SampleOutcome()).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(dispatcher_.OnResult(1, id, testing::SampleGenerateOutcome(1)).code(),
            absl::StatusCode::kFailedPrecondition);
  dispatcher_.RemoveWorker(1);
  Connect(2, 1);
  EXPECT_TRUE(dispatcher_.OnResult(2, id, testing::SampleGenerateOutcome(2)).ok());
  EXPECT_EQ(answers.code(), absl::StatusCode::kOk);
}

TEST_F(DispatcherTest, WhatAWorkerCannotDoGoesToOthersAndTakesNothingFromWhatADeathMayCost) {
  Answers answers;
  Connect(1, 1);
  const RequestId a = Add(answers);
  ASSERT_TRUE(dispatcher_.OnResult(1, a, absl::UnavailableError("leaving")).ok());
  auto next = Connect(2, 1);
  EXPECT_THAT(next->tasks(), ElementsAre(a));
  ASSERT_TRUE(dispatcher_.OnResult(2, a, absl::CancelledError("me too")).ok());
  Connect(3, 1);
  dispatcher_.RemoveWorker(3);
  EXPECT_EQ(answers.count(), 0U) << "the first death";
  Connect(4, 1);
  dispatcher_.RemoveWorker(4);
  EXPECT_EQ(answers.code(), absl::StatusCode::kUnavailable);
}

TEST_F(DispatcherTest, FailureOfTheWorkIsTheAnswer) {
  Answers answers;
  Connect(1, 1);
  const RequestId a = Add(answers);
  ASSERT_TRUE(dispatcher_.OnResult(1, a, absl::DataLossError("bad weights")).ok());
  EXPECT_EQ(answers.code(), absl::StatusCode::kDataLoss);
}

TEST_F(DispatcherTest, CreditBeyondReasonIsAViolation) {
  Connect(1, Dispatcher::kMaxCredit);
  EXPECT_EQ(dispatcher_.AddCredit(1, 1).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(dispatcher_.AddCredit(1, ~0U).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(dispatcher_.AddCredit(9, 1).ok()) << "an unknown worker was lost in the meantime";
}

TEST_F(DispatcherTest, TellsSinceWhenThereIsNoWorker) {
  const absl::Time start = clock_.Now();
  EXPECT_EQ(dispatcher_.without_workers_since(), start);
  Connect(1, 1);
  EXPECT_EQ(dispatcher_.without_workers_since(), std::nullopt);
  clock_.Advance(absl::Seconds(5));
  dispatcher_.RemoveWorker(1);
  EXPECT_EQ(dispatcher_.without_workers_since(), start + absl::Seconds(5));
}

// Answers its tasks from a thread of its own, as a worker does.
class BusyWorker {
 public:
  BusyWorker(Dispatcher& dispatcher, WorkerId id) : dispatcher_(dispatcher), id_(id) {
    dispatcher_.AddWorker(id_, 2, port_, "cpu-" + std::to_string(id_));
    thread_ = std::thread([this] { Work(); });
  }
  ~BusyWorker() {
    stop_ = true;
    thread_.join();
    dispatcher_.RemoveWorker(id_);
  }

 private:
  void Work() {
    std::size_t done = 0;
    EXPECT_TRUE(dispatcher_.AddCredit(id_, 2).ok());
    while (!stop_) {
      const std::vector<RequestId> tasks = port_->tasks();
      for (; done < tasks.size(); ++done) {
        EXPECT_TRUE(dispatcher_.OnResult(id_, tasks.at(done), SampleOutcome()).ok());
        EXPECT_TRUE(dispatcher_.AddCredit(id_, 1).ok());
      }
      std::this_thread::yield();
    }
  }

  Dispatcher& dispatcher_;
  const WorkerId id_;
  const std::shared_ptr<FakePort> port_ = std::make_shared<FakePort>();
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST_F(DispatcherTest, EveryRequestIsAnsweredOnceWhileWorkersComeAndGo) {
  constexpr int kClients = 3;
  constexpr int kPerClient = 150;
  std::atomic<int> answered = 0;
  std::vector<std::thread> clients;
  for (int client = 0; client < kClients; ++client) {
    clients.emplace_back([&] {
      for (int i = 0; i < kPerClient; ++i) {
        const RequestId id = queue_.NextId();
        auto request = std::make_unique<Request>(
            id, SampleWork(), RequestTraits(), clock_.Now() + absl::Seconds(9),
            [&](const absl::StatusOr<Outcome>&) { ++answered; });
        while (!queue_.Enqueue(request).ok()) {
          std::this_thread::yield();
        }
        if (i % 10 == 0) {
          queue_.Cancel(id);
        }
      }
    });
  }
  {
    const BusyWorker steady(dispatcher_, 1);
    for (WorkerId id = 2; id < 30; ++id) {
      const BusyWorker passing(dispatcher_, id);
      std::this_thread::yield();
    }
    for (std::thread& client : clients) {
      client.join();
    }
    EXPECT_TRUE(WaitUntil([&] { return answered == kClients * kPerClient; }));
  }
  EXPECT_EQ(answered, kClients * kPerClient);
}

}  // namespace
}  // namespace atelier::server
