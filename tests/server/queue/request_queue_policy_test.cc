// Priorities, limits, deadlines that cannot be kept, strikes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/errors.h"
#include "tests/server/queue/queue_fixture.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using testing::Answers;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SampleOutcome;
using Loss = RequestQueue::Loss;

class QueuePolicyTest : public testing::QueueFixture {
 protected:
  // `count` requests of one worker that takes `work` for each, one after the other, with more
  // waiting all the time: what the queue then knows of the model "oil@1".
  void Learn(absl::Duration work, int count = 20) {
    queue_.SetSlots(1);
    Answers answers;
    const RequestTraits traits{.model = "oil@1", .megapixels = 1};
    ASSERT_TRUE(Offer(answers, traits).ok());
    for (int i = 0; i < count; ++i) {
      const RequestId id = queue_.TakeNext()->id;
      ASSERT_TRUE(Offer(answers, traits).ok());
      clock_.Advance(work);
      auto outcome = SampleOutcome();
      outcome.compute_s = absl::ToDoubleSeconds(work);
      ASSERT_TRUE(queue_.Complete(id, outcome));
    }
    queue_.FailAll(absl::UnavailableError("enough"));
  }
};

TEST_F(QueuePolicyTest, Of21TakenFromAFullQueueSixteenAreHighFourNormalOneLow) {
  Answers answers;
  std::vector<RequestId> first;
  for (int i = 0; i < 30; ++i) {
    for (const Priority priority : {Priority::kLow, Priority::kNormal, Priority::kHigh}) {
      first.push_back(*Offer(answers, {.priority = priority}));
    }
  }
  std::vector<int> taken(3);
  for (int i = 0; i < 21; ++i) {
    ++taken.at((queue_.TakeNext()->id - first.front()) % 3);
  }
  EXPECT_THAT(taken, ElementsAre(1, 4, 16));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_queue_depth{priority=\"high\"} 14"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_queue_depth{priority=\"normal\"} 26"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_queue_depth{priority=\"low\"} 29"));
}

TEST_F(QueuePolicyTest, LimitsOfModelAndClientAreTheirOwnAndTakeEffectAtOnce) {
  Answers answers;
  const RequestTraits greedy{.model = "oil@1", .client = "greedy"};
  ASSERT_TRUE(Offer(answers, greedy).ok());
  queue_.SetLimits({.per_client = {.max_waiting = 1}});
  const absl::Status client = Offer(answers, greedy).status();
  EXPECT_EQ(client.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryDelayOf(client).has_value());
  EXPECT_TRUE(Offer(answers, {.model = "oil@1", .client = "modest"}).ok());

  queue_.SetLimits({.max_waiting_of_model = {{"oil", 2}}});
  const absl::Status model = Offer(answers, greedy).status();
  EXPECT_EQ(model.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryDelayOf(model).has_value());
  EXPECT_TRUE(Offer(answers, {.model = "ink@1", .client = "greedy"}).ok());
  EXPECT_THAT(Metrics(), HasSubstr("atelier_rejections_total{reason=\"client_full\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_rejections_total{reason=\"model_full\"} 1"));
}

TEST_F(QueuePolicyTest, DeadlineThatCannotBeKeptIsRefusedAtOnceWithTheTimeToWait) {
  Learn(absl::Seconds(1));
  Answers answers;
  const RequestTraits traits{.model = "oil@1", .megapixels = 1};
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(Offer(answers, traits).ok());
  }
  const absl::Status status = Offer(answers, traits, absl::Seconds(5)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GE(*RetryDelayOf(status), absl::Seconds(5));
  EXPECT_LE(*RetryDelayOf(status), absl::Seconds(15));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_rejections_total{reason=\"deadline_unreachable\"} 1"));
  EXPECT_TRUE(Offer(answers, traits, absl::Seconds(40)).ok());
  // It goes before most of them.
  RequestTraits high = traits;
  high.priority = Priority::kHigh;
  EXPECT_TRUE(Offer(answers, high, absl::Seconds(5)).ok());
}

TEST_F(QueuePolicyTest, NothingIsRefusedForItsDeadlineWhenNothingIsAhead) {
  Learn(absl::Minutes(10));
  Answers answers;
  EXPECT_TRUE(Offer(answers, {.model = "oil@1", .megapixels = 100}, absl::Milliseconds(5)).ok());
}

TEST_F(QueuePolicyTest, WhatCanHardlyBeReadyInTimeGoesOutOnlyWhenNothingElseWaits) {
  Learn(absl::Seconds(10));
  Answers hopeless;
  Answers answers;
  const RequestTraits traits{.model = "oil@1", .megapixels = 1};
  const auto late = Offer(hopeless, traits, absl::Seconds(9));
  const auto fine = Offer(answers, traits);
  EXPECT_EQ(queue_.TakeNext()->id, *fine);
  EXPECT_EQ(queue_.TakeNext()->id, *late) << "a wrong estimate must not keep work from workers";
}

TEST_F(QueuePolicyTest, WhatWasPutAsideIsAnsweredAtItsDeadlineAndNeverGoesOutAfterIt) {
  Learn(absl::Seconds(10));
  Answers hopeless;
  Answers answers;
  const RequestTraits traits{.model = "oil@1", .megapixels = 1};
  ASSERT_TRUE(Offer(hopeless, traits, absl::Seconds(9)).ok());
  ASSERT_TRUE(Offer(answers, traits).ok());
  ASSERT_TRUE(queue_.TakeNext().has_value());
  EXPECT_EQ(queue_.waiting(), 1U);
  EXPECT_EQ(hopeless.count(), 0U);
  clock_.Advance(absl::Seconds(9));
  EXPECT_FALSE(queue_.TakeNext().has_value());
  EXPECT_TRUE(WaitUntil([&] { return hopeless.count() == 1; }));
  EXPECT_EQ(hopeless.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(queue_.waiting(), 0U);
}

// Counts how often it was told that there is something to take.
class CountingListener final : public QueueListener {
 public:
  void WorkArrived() override { ++told; }
  void Abandoned(RequestId /*id*/) override {}

  int told = 0;
};

TEST_F(QueuePolicyTest, WhileAnswersHoldMoreThanTheLimitNothingNewGoesOut) {
  CountingListener listener;
  queue_.SetListener(&listener);
  queue_.SetLimits({.max_bytes = 1000});
  Answers answers;
  Answers expiring;
  ASSERT_TRUE(Offer(expiring, {}, absl::Seconds(5)).ok());
  const auto later = Offer(answers);
  queue_.HoldAnswer("slow", 600);
  queue_.HoldAnswer("slow", 600);
  EXPECT_FALSE(queue_.TakeNext().has_value());
  EXPECT_FALSE(Offer(answers).ok());
  clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(WaitUntil([&] { return expiring.count() == 1; })) << "deadlines hold meanwhile";

  const int told = listener.told;
  queue_.ReleaseAnswer("slow", 600);
  EXPECT_EQ(listener.told, told + 1);
  EXPECT_EQ(queue_.TakeNext()->id, *later);
  queue_.ReleaseAnswer("slow", 600);
  EXPECT_EQ(listener.told, told + 1) << "nothing was held up";
  queue_.SetListener(nullptr);
}

TEST_F(QueuePolicyTest, WhatHeldAnswersWaitForGoesOutAsDoesWhatWasOutBefore) {
  queue_.SetLimits({.max_bytes = 1000});
  Answers answers;
  const auto lost = Offer(answers);
  ASSERT_TRUE(queue_.TakeNext().has_value());
  const auto first = Offer(answers, {.priority = Priority::kHigh});
  const auto awaited = Offer(answers, {.priority = Priority::kLow});
  queue_.HoldAnswer("slow", 1001);
  queue_.Requeue(*lost, Loss::kDied);
  EXPECT_EQ(queue_.TakeNext()->id, *lost);
  EXPECT_FALSE(queue_.TakeNext().has_value());
  CountingListener listener;
  queue_.SetListener(&listener);
  queue_.Awaited(*awaited);
  EXPECT_EQ(listener.told, 1);
  EXPECT_EQ(queue_.TakeNext()->id, *awaited);
  EXPECT_FALSE(queue_.TakeNext().has_value());
  queue_.SetLimits({.max_bytes = 2000});
  EXPECT_EQ(listener.told, 2) << "a higher limit, too, lets work out";
  EXPECT_EQ(queue_.TakeNext()->id, *first);
  queue_.SetListener(nullptr);
}

TEST_F(QueuePolicyTest, TheTimeThatAnswersHeldWorkUpIsNotHeldAgainstTheEstimate) {
  Learn(absl::Seconds(1));
  const RequestTraits traits{.model = "oil@1", .megapixels = 1};
  // Ten requests were foreseen to be ready in seconds, and then wait for a slow reader.
  const auto held_up = [&](bool answer_first) {
    Answers answers;
    std::vector<RequestId> ids;
    for (int i = 0; i < 10; ++i) {
      ids.push_back(*Offer(answers, traits));
    }
    if (answer_first) {
      queue_.HoldAnswer("slow", 300ULL << 20);
    }
    clock_.Advance(absl::Minutes(10));
    for (const RequestId id : ids) {
      queue_.Cancel(id);
    }
    if (answer_first) {
      queue_.ReleaseAnswer("slow", 300ULL << 20);
    }
    // What is said of the eleventh of ten, which need ten seconds: its caution.
    Answers rest;
    for (int i = 0; i < 10; ++i) {
      EXPECT_TRUE(Offer(rest, traits).ok());
    }
    const bool accepted = Offer(rest, traits, absl::Seconds(16)).ok();
    queue_.FailAll(absl::UnavailableError("enough"));
    return accepted;
  };
  EXPECT_TRUE(held_up(true));
  EXPECT_FALSE(held_up(false)) << "a wait that nothing explains";
}

TEST_F(QueuePolicyTest, RequestOfADeadWorkerGoesFirstAndAlone) {
  Answers answers;
  const auto lost = Offer(answers, {.priority = Priority::kLow});
  ASSERT_EQ(queue_.TakeNext()->alone, false);
  ASSERT_TRUE(Offer(answers, {.priority = Priority::kHigh}).ok());
  queue_.Requeue(*lost, Loss::kDied);
  const auto again = queue_.TakeNext();
  EXPECT_EQ(again->id, *lost);
  EXPECT_TRUE(again->alone);
  EXPECT_FALSE(queue_.TakeNext()->alone);
  EXPECT_THAT(Metrics(), HasSubstr("atelier_retries_total{reason=\"lost\"} 1"));
}

TEST_F(QueuePolicyTest, WhatAWorkerNeverBeganOrDeclinedIsNotSuspicious) {
  Answers answers;
  const auto id = Offer(answers);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(queue_.TakeNext().has_value());
    queue_.Requeue(*id, Loss::kNotBegun);
  }
  ASSERT_TRUE(queue_.TakeNext().has_value());
  queue_.Requeue(*id, Loss::kDeclined);
  EXPECT_FALSE(queue_.TakeNext()->alone);
  EXPECT_EQ(answers.count(), 0U);
  EXPECT_THAT(Metrics(), HasSubstr("atelier_retries_total{reason=\"declined\"} 1"));
  // That took nothing from what a death may cost it.
  queue_.Requeue(*id, Loss::kDied);
  EXPECT_TRUE(queue_.TakeNext()->alone);
  EXPECT_EQ(answers.count(), 0U);
}

TEST_F(QueuePolicyTest, WhatEveryWorkerDeclinesIsNotOfferedForEver) {
  Answers answers;
  const auto id = Offer(answers);
  for (int i = 0; i <= Request::kMaxDeclined; ++i) {
    ASSERT_EQ(answers.count(), 0U);
    ASSERT_TRUE(queue_.TakeNext().has_value());
    queue_.Requeue(*id, Loss::kDeclined);
  }
  EXPECT_EQ(answers.code(), absl::StatusCode::kUnavailable);
}

TEST_F(QueuePolicyTest, WithoutAWorkerInTimeRequestsAreRefusedAtOnceAndThoseThatWaitAreAnswered) {
  Answers waits;
  Answers patient;
  ASSERT_TRUE(Offer(waits, {}, absl::Seconds(2)).ok());
  ASSERT_TRUE(Offer(patient, {}, absl::Minutes(2)).ok());
  queue_.SetNoWorker(Outages::NoWorker{.until = clock_.Now() + absl::Seconds(8)});
  queue_.RefuseHopeless();
  EXPECT_EQ(waits.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(patient.count(), 0U) << "a worker may come in time";
  const absl::Status refused = Offer(waits, {}, absl::Seconds(2)).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(RetryDelayOf(refused), absl::Seconds(8));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_rejections_total{reason=\"no_worker\"} 2"));
  EXPECT_TRUE(Offer(patient, {}, absl::Seconds(9)).ok());
  clock_.Advance(absl::Seconds(8));
  EXPECT_TRUE(Offer(patient, {}, absl::Seconds(2)).ok());
}

TEST_F(QueuePolicyTest, AWorkerThatMayComeBackIsWaitedForAWhile) {
  Answers answers;
  queue_.SetNoWorker(Outages::NoWorker{.from = clock_.Now() + absl::Seconds(30)});
  EXPECT_TRUE(Offer(answers, {}, absl::Seconds(1)).ok());
  clock_.Advance(absl::Seconds(30));
  const absl::Status refused = Offer(answers).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(RetryDelayOf(refused).has_value());
  queue_.SetNoWorker(std::nullopt);
  EXPECT_TRUE(Offer(answers).ok());
}

TEST_F(QueuePolicyTest, AModelThatNoWorkerCanLoadIsRefusedWithItsReasonAndTriedOnceInAWhile) {
  Answers bad;
  Answers good;
  ASSERT_TRUE(Offer(bad, {.model = "broken@1"}).ok());
  ASSERT_TRUE(Offer(good, {.model = "oil@1"}).ok());
  queue_.BlockModel("broken@1", absl::DataLossError("its weights are damaged"),
                    clock_.Now() + absl::Seconds(4));
  queue_.RefuseHopeless();
  EXPECT_EQ(bad.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(good.count(), 0U);
  const absl::Status refused = Offer(bad, {.model = "broken@1"}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("its weights are damaged"));
  EXPECT_EQ(RetryDelayOf(refused), absl::Seconds(4));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_rejections_total{reason=\"model_failed\"} 2"));
  EXPECT_TRUE(Offer(good, {.model = "oil@1"}).ok());

  clock_.Advance(absl::Seconds(4));
  EXPECT_TRUE(Offer(bad, {.model = "broken@1"}).ok()) << "a trial";
  EXPECT_FALSE(Offer(bad, {.model = "broken@1"}).ok()) << "one only";
  queue_.UnblockModel("broken@1");
  EXPECT_TRUE(Offer(bad, {.model = "broken@1"}).ok());
}

TEST_F(QueuePolicyTest, OneStrikeMeansAloneUntilItIsDoneWell) {
  Answers answers;
  const RequestTraits traits{.fingerprint = 7};
  queue_.Strike(7);
  const auto id = Offer(answers, traits);
  EXPECT_TRUE(queue_.TakeNext()->alone);
  queue_.Complete(*id, SampleOutcome());
  ASSERT_TRUE(Offer(answers, traits).ok());
  EXPECT_FALSE(queue_.TakeNext()->alone);
}

TEST_F(QueuePolicyTest, TwoStrikesAnswerEqualRequestsAndRefuseThemForTenMinutes) {
  Answers culprit;
  Answers twin;
  Answers other;
  const RequestTraits traits{.fingerprint = 7};
  const auto id = Offer(culprit, traits);
  queue_.TakeNext();
  ASSERT_TRUE(Offer(twin, traits).ok());
  ASSERT_TRUE(Offer(other, {.fingerprint = 8}).ok());
  queue_.Strike(7);
  queue_.Requeue(*id, Loss::kDied);
  EXPECT_EQ(queue_.TakeNext()->id, *id);
  EXPECT_EQ(twin.count(), 0U);
  queue_.Strike(7);
  queue_.Requeue(*id, Loss::kDied);
  EXPECT_EQ(culprit.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(twin.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(other.count(), 0U);

  Answers again;
  const absl::Status refused = Offer(again, traits).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("2023-11-14T22:23:20"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_rejections_total{reason=\"struck\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_strikes_total 2"));
  clock_.Advance(absl::Minutes(10));
  EXPECT_TRUE(Offer(again, traits).ok());
}

}  // namespace
}  // namespace atelier::server
