// Workers that die, hang, fail and come back; who gets a model's requests.
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/server/dispatch/dispatcher_fixture.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using testing::Answers;
using ::testing::ElementsAre;
using testing::FakePort;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::SampleOutcome;

using DispatcherFaultsTest = testing::DispatcherFixture;

TEST_F(DispatcherFaultsTest, MembersOfADeadBatchAreRetriedAloneAndOthersGoOnBesideThem) {
  Answers answers;
  Connect(1);
  const RequestId a = Add(answers);
  const RequestId b = Add(answers);
  dispatcher_.RemoveWorker(1);
  auto second = Connect(2);
  auto third = Connect(3);
  EXPECT_THAT(second->tasks(), ElementsAre(a));
  EXPECT_THAT(third->tasks(), ElementsAre(b));
  const RequestId c = Add(answers);
  EXPECT_EQ(queue_.waiting(), 1U) << "nothing is put beside those that are alone";
  Finish(3, b);
  EXPECT_THAT(third->tasks(), ElementsAre(b, c));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_strikes_total 0"));
}

TEST_F(DispatcherFaultsTest, BusyWorkerIsEmptiedForOneThatMustBeAlone) {
  Answers answers;
  auto port = Connect(1, 8, 4);
  const RequestId a = Add(answers);
  const RequestId b = Add(answers);
  queue_.Strike(7);
  const RequestId alone = Add(answers, 7);
  const RequestId later = Add(answers);
  Finish(1, a);
  EXPECT_THAT(port->tasks(), ElementsAre(a, b)) << "nothing new until it is empty";
  Finish(1, b);
  EXPECT_THAT(port->tasks(), ElementsAre(a, b, alone));
  Finish(1, alone);
  EXPECT_THAT(port->tasks(), ElementsAre(a, b, alone, later));
}

TEST_F(DispatcherFaultsTest, ReservationEndsWithItsRequestAndWithItsWorker) {
  Answers first;
  Answers alone_answer;
  Answers last;
  auto port = Connect(1, 8, 4);
  const RequestId a = Add(first);
  queue_.Strike(7);
  const RequestId alone = Add(alone_answer, 7);
  const RequestId b = Add(last);
  EXPECT_THAT(port->tasks(), ElementsAre(a));
  queue_.Cancel(alone);
  EXPECT_THAT(port->tasks(), ElementsAre(a, b));

  Answers again;
  const RequestId second = Add(again, 7);
  dispatcher_.RemoveWorker(1);
  auto next = Connect(2);
  // It never reached the first worker: neither a retry nor a strike.
  EXPECT_EQ(next->tasks().size(), 1U);
  Finish(2, a);
  Finish(2, b);
  EXPECT_THAT(next->tasks(), ElementsAre(a, b, second));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_strikes_total 1"));
}

TEST_F(DispatcherFaultsTest, OnlyWhatWasAloneOnADeadWorkerGetsAStrikeAndTwoRefuseIt) {
  Answers culprit;
  Answers innocent;
  Connect(1);
  const RequestId bad = Add(culprit, 7);
  const RequestId good = Add(innocent, 8);
  dispatcher_.RemoveWorker(1);
  auto port = Connect(2);
  EXPECT_THAT(port->tasks(), ElementsAre(bad));
  dispatcher_.RemoveWorker(2);
  EXPECT_EQ(culprit.code(), absl::StatusCode::kUnavailable) << "two losses, one strike";
  port = Connect(3);
  EXPECT_THAT(port->tasks(), ElementsAre(good));
  Finish(3, good);
  EXPECT_EQ(innocent.code(), absl::StatusCode::kOk);

  Answers again;
  Add(again, 7);
  dispatcher_.RemoveWorker(3);
  EXPECT_EQ(again.code(), absl::StatusCode::kFailedPrecondition) << "the second strike";
  EXPECT_THAT(Metrics(), HasSubstr("atelier_strikes_total 2"));
}

TEST_F(DispatcherFaultsTest, CancelledCulpritGetsItsStrikeToo) {
  Answers answers;
  Connect(1);
  const RequestId bad = Add(answers, 7);
  queue_.Cancel(bad);
  dispatcher_.RemoveWorker(1);
  EXPECT_THAT(Metrics(), HasSubstr("atelier_strikes_total 1"));
}

TEST_F(DispatcherFaultsTest, WorkerThatSaysGoodByeIsNobodysFault) {
  Answers answers;
  Connect(1);
  const RequestId a = Add(answers, 7);
  dispatcher_.RemoveWorker(1, WorkerEnd::kLeft);
  auto next = Connect(2);
  const RequestId b = Add(answers);
  EXPECT_THAT(next->tasks(), ElementsAre(a, b)) << "not alone";
  EXPECT_THAT(Metrics(), HasSubstr("atelier_strikes_total 0"));
}

TEST_F(DispatcherFaultsTest, WorkerThatFailsThriceGetsNothingThenOneTrialThatDecides) {
  Answers answers;
  auto port = Connect(1, 100);
  for (int i = 0; i < 3; ++i) {
    Fail(1, Add(answers));
  }
  EXPECT_THAT(Metrics(), HasSubstr("atelier_worker_breaker_state{worker=\"w-1\"} 2"));
  const RequestId a = Add(answers);
  const RequestId b = Add(answers);
  EXPECT_EQ(port->tasks().size(), 3U);
  clock_.Advance(absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_EQ(port->tasks().size(), 3U);
  clock_.Advance(absl::Nanoseconds(1));
  ASSERT_TRUE(WaitUntil([&] { return port->tasks().size() == 4; })) << "nobody else wakes it";
  EXPECT_EQ(port->tasks().back(), a);
  EXPECT_EQ(queue_.waiting(), 1U) << "one at a time";
  EXPECT_THAT(Metrics(), HasSubstr("atelier_worker_breaker_state{worker=\"w-1\"} 1"));
  Fail(1, a);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(port->tasks().size(), 4U) << "the pause is twice as long now";
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(WaitUntil([&] { return port->tasks().size() == 5; }));
  Finish(1, b);
  EXPECT_THAT(Metrics(), HasSubstr("atelier_worker_breaker_state{worker=\"w-1\"} 0"));
  Add(answers);
  Add(answers);
  EXPECT_EQ(port->tasks().size(), 7U);
}

TEST_F(DispatcherFaultsTest, BreakerOutlivesTheWorkersProcessAndOthersTakeTheWork) {
  Answers answers;
  for (WorkerId id = 1; id <= 3; ++id) {
    Connect(id, 8, 2, "cpu-0");
    dispatcher_.RemoveWorker(id);
  }
  auto back = Connect(4, 8, 2, "cpu-0");
  const RequestId a = Add(answers);
  EXPECT_THAT(back->tasks(), IsEmpty());
  auto other = Connect(5, 8, 2, "cpu-1");
  EXPECT_THAT(other->tasks(), ElementsAre(a));
}

TEST_F(DispatcherFaultsTest, WorkerThatHasTheModelIsPreferredByUpToOneSetOfSlots) {
  Answers answers;
  auto has = Connect(1, 20, 2);
  dispatcher_.OnModelState(1, "oil", true);
  auto lacks = Connect(2, 20, 2);
  for (int i = 0; i < 3; ++i) {
    Add(answers, 0, "oil");
  }
  EXPECT_EQ(has->tasks().size(), 3U);
  EXPECT_EQ(lacks->tasks().size(), 0U);
  // Busier by more than two slots: now the other loads it too.
  Add(answers, 0, "oil");
  EXPECT_EQ(lacks->tasks().size(), 1U);
  // And is as good as the first from then on.
  Add(answers, 0, "oil");
  EXPECT_EQ(lacks->tasks().size(), 2U);
}

TEST_F(DispatcherFaultsTest, RequestsOfOneModelKeepTogetherAndAnUnloadedModelIsForgotten) {
  Answers answers;
  auto one = Connect(1, 20, 4);
  auto two = Connect(2, 20, 4);
  dispatcher_.OnModelState(1, "oil", true);
  dispatcher_.OnModelState(2, "ink", true);
  const RequestId oil_1 = Add(answers, 0, "oil");
  const RequestId ink_1 = Add(answers, 0, "ink");
  const RequestId oil_2 = Add(answers, 0, "oil");
  const RequestId ink_2 = Add(answers, 0, "ink");
  EXPECT_THAT(one->tasks(), ElementsAre(oil_1, oil_2));
  EXPECT_THAT(two->tasks(), ElementsAre(ink_1, ink_2));
  for (const RequestId id : {oil_1, oil_2}) {
    Finish(1, id);
  }
  for (const RequestId id : {ink_1, ink_2}) {
    Finish(2, id);
  }
  dispatcher_.OnModelState(1, "oil", false);
  dispatcher_.OnModelState(2, "oil", true);
  const RequestId moved = Add(answers, 0, "oil");
  EXPECT_EQ(two->tasks().back(), moved);
}

TEST_F(DispatcherFaultsTest, AModelThatCannotBeLoadedIsRefusedAndTheOthersOfItsWorkerGoOn) {
  Answers later;
  Connect(1, 100);
  for (std::uint64_t i = 1; i <= 10; ++i) {
    Answers bad;
    Answers good;
    FailToLoad(1, *Offer(bad, {.model = "broken@1", .fingerprint = i}));
    EXPECT_EQ(bad.code(), absl::StatusCode::kDataLoss);
    const absl::Status refused = Offer(bad, {.model = "broken@1", .fingerprint = 100 + i}).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss) << "at once, with the reason";
    EXPECT_EQ(RetryDelayOf(refused), std::min(absl::Minutes(1), absl::Seconds(1) * (1 << (i - 1))));
    Finish(1, *Offer(good, {.model = "oil@1"}));
    EXPECT_EQ(good.code(), absl::StatusCode::kOk);
    clock_.Advance(*RetryDelayOf(refused));
  }
  EXPECT_THAT(Metrics(), HasSubstr("atelier_worker_breaker_state{worker=\"w-1\"} 0"));
  // Repaired: one that is done well opens it for all.
  Finish(1, *Offer(later, {.model = "broken@1"}));
  EXPECT_TRUE(Offer(later, {.model = "broken@1"}).ok());
  EXPECT_TRUE(Offer(later, {.model = "broken@1"}).ok());
}

TEST_F(DispatcherFaultsTest, AnOperatorsLoadOrAnotherWorkerEndsTheWaitForABrokenModel) {
  Answers answers;
  Connect(1);
  FailToLoad(1, *Offer(answers, {.model = "broken@1"}));
  EXPECT_FALSE(Offer(answers, {.model = "broken@1"}).ok());
  dispatcher_.OnModelState(1, "ab", true);
  const auto id = Offer(answers, {.model = "broken@1"});
  ASSERT_TRUE(id.ok());
  FailToLoad(1, *id);
  EXPECT_FALSE(Offer(answers, {.model = "broken@1"}).ok());
  Connect(2);
  EXPECT_TRUE(Offer(answers, {.model = "broken@1"}).ok());
}

TEST_F(DispatcherFaultsTest, AModelThatOneWorkerCannotLoadGoesToTheOtherEvenIfThatIsBusy) {
  Answers answers;
  auto poor = Connect(1, 8);
  const auto first = Offer(answers, {.model = "large@1"});
  auto rich = Connect(2, 1);
  FailToLoad(1, *first);
  EXPECT_THAT(rich->tasks(), ElementsAre(*first)) << "passed on, not answered";
  const auto second = Offer(answers, {.model = "large@1"});
  const auto third = Offer(answers, {.model = "large@1"});
  const auto other = Offer(answers, {.model = "oil@1"});
  EXPECT_THAT(poor->tasks(), ElementsAre(*first, *other)) << "what comes after them need not wait";
  EXPECT_EQ(answers.count(), 0U);
  EXPECT_TRUE(dispatcher_.OnResult(2, *first, SampleOutcome(), 1).ok());
  EXPECT_THAT(rich->tasks(), ElementsAre(*first, *second));
  EXPECT_TRUE(dispatcher_.OnResult(2, *second, SampleOutcome(), 1).ok());
  EXPECT_THAT(rich->tasks(), ElementsAre(*first, *second, *third));
  EXPECT_TRUE(dispatcher_.OnResult(2, *third, SampleOutcome(), 1).ok());
  EXPECT_EQ(answers.count(), 3U);
}

TEST_F(DispatcherFaultsTest, AModelThatFailsOnOneWorkerAloneIsKeptFromItAndOthersAreNot) {
  Answers answers;
  auto one = Connect(1, 20);
  for (std::uint64_t i = 1; i <= 3; ++i) {
    Finish(1, *Offer(answers, {.model = "oil@1"}));
    Fail(1, *Offer(answers, {.model = "broken@1", .fingerprint = i}));
  }
  EXPECT_THAT(Metrics(), HasSubstr("atelier_worker_breaker_state{worker=\"w-1\"} 0"));
  Finish(1, *Offer(answers, {.model = "oil@1"}));
  auto two = Connect(2, 20);
  dispatcher_.OnModelState(1, "ab", true);  // who has it is preferred otherwise
  const auto next = Offer(answers, {.model = "broken@1", .fingerprint = 4});
  EXPECT_THAT(two->tasks(), ElementsAre(*next));
}

}  // namespace
}  // namespace atelier::server
