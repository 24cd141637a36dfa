// When nobody may take work: who counts as a worker that serves, and what becomes of requests.
#include <gmock/gmock.h>

#include <atomic>
#include <memory>
#include <vector>

#include "tests/server/dispatch/dispatcher_fixture.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using testing::Answers;
using ::testing::ElementsAre;
using testing::FakePort;

using DispatcherOutagesTest = testing::DispatcherFixture;

TEST_F(DispatcherOutagesTest, WhileNoWorkerMayTakeWorkRequestsAreRefusedAtOnce) {
  Answers answers;
  Answers waits;
  Connect(1, 3, 2);
  std::vector<RequestId> tasks;
  for (std::uint64_t i = 1; i <= 3; ++i) {
    tasks.push_back(*Offer(answers, {.fingerprint = i}));
  }
  ASSERT_TRUE(Offer(waits, {}, absl::Milliseconds(500)).ok());
  for (const RequestId task : tasks) {
    Fail(1, task);
  }
  EXPECT_EQ(waits.code(), absl::StatusCode::kUnavailable) << "it would have expired";
  const absl::Status refused = Offer(answers, {}, absl::Milliseconds(500)).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(RetryDelayOf(refused), absl::Seconds(1));
  EXPECT_TRUE(Offer(answers, {}, absl::Seconds(2)).ok()) << "the worker is tried again in time";
}

TEST_F(DispatcherOutagesTest, AWorkerServesFromItsFirstCreditAndNotWhileItPreloads) {
  Answers answers;
  clock_.Advance(kWorkerGrace - absl::Seconds(1));
  dispatcher_.AddWorker(1, 2, std::make_shared<FakePort>(), "w-1");
  EXPECT_TRUE(dispatcher_.without_workers_since().has_value());
  clock_.Advance(absl::Seconds(1));
  EXPECT_FALSE(dispatcher_.may_serve()) << "it may load for minutes";
  EXPECT_EQ(Offer(answers, {}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(dispatcher_.AddCredit(1, 1).ok());
  EXPECT_TRUE(dispatcher_.may_serve());
  EXPECT_TRUE(Offer(answers, {}).ok());

  // One that preloads and goes neither opens the grace anew nor ends the one that runs.
  dispatcher_.RemoveWorker(1, WorkerEnd::kLeft);
  const auto since = dispatcher_.without_workers_since();
  clock_.Advance(absl::Seconds(1));
  dispatcher_.AddWorker(2, 2, std::make_shared<FakePort>(), "w-2");
  dispatcher_.RemoveWorker(2);
  EXPECT_EQ(dispatcher_.without_workers_since(), since);
}

TEST_F(DispatcherOutagesTest, AModelThatNobodyWhoServesCanLoadDoesNotWaitForAWorkerThatPreloads) {
  Answers answers;
  Answers waits;
  Connect(1, 2);
  dispatcher_.AddWorker(2, 2, std::make_shared<FakePort>(), "w-2");
  const RequestId task = *Offer(answers, {.model = "oil@3"});
  FailToLoad(1, task);
  EXPECT_EQ(answers.count(), 1U) << "there is no other to try";
  EXPECT_FALSE(Offer(waits, {.model = "oil@3"}).ok());
  EXPECT_TRUE(dispatcher_.AddCredit(2, 1).ok());
  EXPECT_TRUE(Offer(waits, {.model = "oil@3"}).ok());
}

TEST_F(DispatcherOutagesTest, WhatWasNeverSentCostsNothingWhenItsWorkerIsLost) {
  // Its session has ended, which the dispatcher is only about to hear.
  class DeafPort final : public WorkerPort {
    void SendTask(RequestId, const Work&, absl::Time, std::atomic<bool>&) override {}
    void SendCancel(RequestId) override {}
  };
  Answers answers;
  for (WorkerId id = 1; id <= 3; ++id) {
    dispatcher_.AddWorker(id, 1, std::make_shared<DeafPort>(), "deaf-" + std::to_string(id));
  }
  const RequestId id = Add(answers, 7);
  for (WorkerId worker = 1; worker <= 3; ++worker) {
    EXPECT_TRUE(dispatcher_.AddCredit(worker, 1).ok());
    dispatcher_.RemoveWorker(worker);
  }
  EXPECT_EQ(answers.count(), 0U);
  const auto port = Connect(4);
  EXPECT_THAT(port->tasks(), ElementsAre(id));
  dispatcher_.RemoveWorker(4);
  EXPECT_THAT(Connect(5)->tasks(), ElementsAre(id)) << "its first loss";
}

TEST_F(DispatcherOutagesTest, WithoutWorkersRequestsWaitAsLongAsTheServerCountsAsReady) {
  Answers answers;
  Answers waits;
  clock_.Advance(kWorkerGrace - absl::Milliseconds(1));
  EXPECT_TRUE(dispatcher_.may_serve());
  EXPECT_TRUE(Offer(waits, {}).ok());
  EXPECT_TRUE(Offer(answers, {}).ok());
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_FALSE(dispatcher_.may_serve());
  ASSERT_TRUE(WaitUntil([&] { return waits.count() == 1; })) << "it does not expire in the queue";
  EXPECT_EQ(waits.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Offer(answers, {}).status().code(), absl::StatusCode::kUnavailable);
  Connect(1);
  EXPECT_TRUE(Offer(answers, {}).ok());
  dispatcher_.RemoveWorker(1, WorkerEnd::kLeft);
  EXPECT_TRUE(Offer(answers, {}).ok()) << "it may be restarted";
  clock_.Advance(kWorkerGrace);
  EXPECT_EQ(Offer(answers, {}).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace atelier::server
