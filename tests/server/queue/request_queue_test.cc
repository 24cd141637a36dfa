#include "server/queue/request_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "common/errors.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::FakeClock;
using test::WaitUntil;
using testing::Answers;
using testing::SampleOutcome;
using testing::SampleWork;

class RecordingListener final : public QueueListener {
 public:
  void WorkArrived() override { ++arrivals; }
  void Abandoned(RequestId id) override { last_abandoned = id; }

  std::atomic<int> arrivals = 0;
  std::atomic<RequestId> last_abandoned = 0;
};

class RequestQueueTest : public ::testing::Test {
 protected:
  RequestQueueTest() { queue_.SetListener(&listener_); }
  ~RequestQueueTest() override { queue_.SetListener(nullptr); }

  std::unique_ptr<Request> Make(Answers& answers, absl::Duration left = absl::Seconds(10),
                                std::size_t bytes = 100) {
    return std::make_unique<Request>(queue_.NextId(), SampleWork(bytes), RequestTraits(),
                                     clock_.Now() + left, answers.Expect());
  }

  RequestId Add(Answers& answers, absl::Duration left = absl::Seconds(10)) {
    auto request = Make(answers, left);
    const RequestId id = request->id();
    EXPECT_TRUE(queue_.Enqueue(request).ok());
    EXPECT_EQ(request, nullptr);
    return id;
  }

  std::string Metrics() { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

  FakeClock clock_;
  prometheus::Registry registry_;
  QueueProbe probe_{registry_};
  RecordingListener listener_;
  RequestQueue queue_{{.max_waiting = 3, .max_bytes = 1000}, clock_, probe_};
};

TEST_F(RequestQueueTest, FirstInIsFirstOut) {
  Answers first;
  Answers second;
  const RequestId a = Add(first);
  const RequestId b = Add(second);
  EXPECT_EQ(listener_.arrivals, 2);
  EXPECT_EQ(queue_.TakeNext()->id, a);
  EXPECT_EQ(queue_.TakeNext()->id, b);
  EXPECT_FALSE(queue_.TakeNext().has_value());
}

TEST_F(RequestQueueTest, FullByCountRefusesWithRetryDelayAndLeavesTheRequestWithItsOwner) {
  Answers answers;
  Add(answers);
  Add(answers);
  Add(answers);
  auto request = Make(answers);
  const absl::Status status = queue_.Enqueue(request);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_GT(RetryDelayOf(status), absl::ZeroDuration());
  EXPECT_NE(request, nullptr);
  EXPECT_EQ(answers.count(), 0U);
  EXPECT_THAT(Metrics(), ::testing::HasSubstr("atelier_rejections_total{reason=\"queue_full\"} 1"));

  // What is with a worker no longer waits.
  queue_.TakeNext();
  EXPECT_TRUE(queue_.Enqueue(request).ok());
}

TEST_F(RequestQueueTest, FullByBytesCountsWhatWorkersHoldToo) {
  Answers answers;
  auto big = Make(answers, absl::Seconds(10), 900);
  ASSERT_TRUE(queue_.Enqueue(big).ok());
  const RequestId id = queue_.TakeNext()->id;
  auto second = Make(answers, absl::Seconds(10), 101);
  EXPECT_EQ(queue_.Enqueue(second).code(), absl::StatusCode::kResourceExhausted);
  queue_.Complete(id, SampleOutcome());
  EXPECT_TRUE(queue_.Enqueue(second).ok());
}

TEST_F(RequestQueueTest, OnePictureLargerThanTheLimitIsTakenWhenNothingElseIsThere) {
  Answers answers;
  auto huge = Make(answers, absl::Seconds(10), 5000);
  EXPECT_TRUE(queue_.Enqueue(huge).ok());
}

TEST_F(RequestQueueTest, RetryDelayFollowsTheMeasuredServiceTime) {
  Answers answers;
  for (int i = 0; i < 50; ++i) {
    const RequestId id = Add(answers, absl::Hours(1));
    queue_.TakeNext();
    clock_.Advance(absl::Seconds(4));
    queue_.Complete(id, SampleOutcome());
  }
  for (int i = 0; i < 3; ++i) {
    Add(answers, absl::Hours(1));
  }
  auto request = Make(answers, absl::Hours(1));
  const absl::Duration delay = *RetryDelayOf(queue_.Enqueue(request));
  EXPECT_GT(delay, absl::Seconds(10));
  EXPECT_LE(delay, absl::Seconds(13));
}

TEST_F(RequestQueueTest, WaitingRequestExpiresAtItsDeadlineNotBefore) {
  Answers answers;
  Add(answers, absl::Seconds(5));
  clock_.Advance(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_EQ(answers.count(), 0U);
  clock_.Advance(absl::Nanoseconds(1));
  EXPECT_TRUE(WaitUntil([&] { return answers.count() == 1; }));
  EXPECT_EQ(answers.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(queue_.TakeNext().has_value());
  EXPECT_EQ(listener_.last_abandoned, 0U);
}

TEST_F(RequestQueueTest, DispatchedRequestExpiresAndIsAbandoned) {
  Answers answers;
  const RequestId id = Add(answers, absl::Seconds(5));
  queue_.TakeNext();
  clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(WaitUntil([&] { return answers.count() == 1; }));
  EXPECT_EQ(answers.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(listener_.last_abandoned, id);
  EXPECT_FALSE(queue_.Complete(id, SampleOutcome()));
}

TEST_F(RequestQueueTest, EarlierDeadlineBehindALaterOneIsMet) {
  Answers late;
  Answers soon;
  Add(late, absl::Seconds(50));
  Add(soon, absl::Seconds(1));
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(WaitUntil([&] { return soon.count() == 1; }));
  EXPECT_EQ(late.count(), 0U);
}

TEST_F(RequestQueueTest, PastDeadlineIsRefused) {
  Answers answers;
  auto request = Make(answers, absl::ZeroDuration());
  EXPECT_EQ(queue_.Enqueue(request).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(RequestQueueTest, ResultCarriesTheTimeInTheQueue) {
  Answers answers;
  const RequestId id = Add(answers);
  clock_.Advance(absl::Seconds(2));
  queue_.TakeNext();
  clock_.Advance(absl::Seconds(3));
  EXPECT_TRUE(queue_.Complete(id, SampleOutcome()));
  ASSERT_TRUE(answers.only()->ok());
  EXPECT_DOUBLE_EQ(testing::Stylized(answers).queue_s, 2.0);
}

TEST_F(RequestQueueTest, CancelWorksInEveryState) {
  Answers waiting;
  Answers dispatched;
  Answers done;
  const RequestId a = Add(dispatched);
  queue_.TakeNext();
  const RequestId b = Add(done);
  queue_.TakeNext();
  const RequestId c = Add(waiting);

  queue_.Cancel(c);
  EXPECT_EQ(waiting.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(queue_.TakeNext().has_value());
  EXPECT_EQ(listener_.last_abandoned, 0U);

  queue_.Cancel(a);
  EXPECT_EQ(dispatched.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(listener_.last_abandoned, a);
  EXPECT_FALSE(queue_.Complete(a, SampleOutcome()));

  queue_.Complete(b, SampleOutcome());
  queue_.Cancel(b);
  EXPECT_EQ(done.code(), absl::StatusCode::kOk);
  queue_.Cancel(999);  // never existed
}

TEST_F(RequestQueueTest, LostRequestGoesToTheFrontOnceThenIsUnavailable) {
  Answers lost;
  Answers other;
  const RequestId a = Add(lost);
  Add(other);
  queue_.TakeNext();
  queue_.Requeue(a, RequestQueue::Loss::kDied);
  EXPECT_EQ(lost.count(), 0U);
  EXPECT_EQ(queue_.TakeNext()->id, a);
  queue_.Requeue(a, RequestQueue::Loss::kDied);
  EXPECT_EQ(lost.code(), absl::StatusCode::kUnavailable);
  queue_.Requeue(a, RequestQueue::Loss::kDied);  // answered long ago
  EXPECT_EQ(lost.count(), 1U);
}

TEST_F(RequestQueueTest, RequeuedRequestStillExpires) {
  Answers answers;
  const RequestId id = Add(answers, absl::Seconds(5));
  queue_.TakeNext();
  queue_.Requeue(id, RequestQueue::Loss::kDied);
  clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(WaitUntil([&] { return answers.count() == 1; }));
  EXPECT_EQ(answers.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(RequestQueueTest, AModelIsUsedUntilItsLastRequestIsAnswered) {
  Answers answers;
  RequestTraits traits;
  traits.model = "oil@1";
  auto request = std::make_unique<Request>(queue_.NextId(), SampleWork(), traits,
                                           clock_.Now() + absl::Seconds(10), answers.Expect());
  const RequestId id = request->id();
  EXPECT_FALSE(queue_.Uses("oil@1"));
  ASSERT_TRUE(queue_.Enqueue(request).ok());
  EXPECT_TRUE(queue_.Uses("oil@1"));
  EXPECT_FALSE(queue_.Uses("oil@2"));
  ASSERT_TRUE(queue_.TakeNext().has_value());
  EXPECT_TRUE(queue_.Uses("oil@1")) << "a worker has it";
  queue_.Complete(id, SampleOutcome());
  EXPECT_FALSE(queue_.Uses("oil@1"));
}

TEST_F(RequestQueueTest, ClosedQueueRefusesButFinishesWhatItHas) {
  Answers answers;
  const RequestId id = Add(answers);
  queue_.Close(absl::UnavailableError("stopping"));
  auto request = Make(answers);
  EXPECT_EQ(queue_.Enqueue(request).code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(queue_.AwaitEmpty(clock_.Now()));
  queue_.TakeNext();
  queue_.Complete(id, SampleOutcome());
  EXPECT_TRUE(queue_.AwaitEmpty(clock_.Now() + absl::Seconds(1)));
  EXPECT_EQ(answers.code(), absl::StatusCode::kOk);
}

TEST_F(RequestQueueTest, AwaitEmptyGivesUpAtItsDeadline) {
  Answers answers;
  Add(answers, absl::Minutes(10));
  std::atomic<bool> empty = true;
  std::atomic<bool> returned = false;
  std::thread waiter([&] {
    empty = queue_.AwaitEmpty(absl::FromUnixSeconds(1'700'000'000) + absl::Seconds(3));
    returned = true;
  });
  EXPECT_TRUE(WaitUntil([&] {
    clock_.Advance(absl::Seconds(1));
    return returned.load();
  }));
  waiter.join();
  EXPECT_FALSE(empty);
}

TEST_F(RequestQueueTest, DestructionAnswersWhatIsLeft) {
  Answers answers;
  {
    prometheus::Registry registry;
    QueueProbe probe(registry);
    RequestQueue queue({}, clock_, probe);
    auto request = std::make_unique<Request>(queue.NextId(), SampleWork(), RequestTraits(),
                                             clock_.Now() + absl::Seconds(9), answers.Expect());
    ASSERT_TRUE(queue.Enqueue(request).ok());
  }
  EXPECT_EQ(answers.code(), absl::StatusCode::kUnavailable);
}

TEST_F(RequestQueueTest, DepthAndBytesAreShown) {
  Answers answers;
  const RequestId id = Add(answers);
  EXPECT_THAT(Metrics(), ::testing::HasSubstr("atelier_queue_depth{priority=\"normal\"} 1"));
  EXPECT_THAT(Metrics(), ::testing::HasSubstr("atelier_queue_bytes 100"));
  queue_.TakeNext();
  EXPECT_THAT(Metrics(), ::testing::HasSubstr("atelier_queue_depth{priority=\"normal\"} 0"));
  queue_.Complete(id, SampleOutcome());
  EXPECT_THAT(Metrics(), ::testing::HasSubstr("atelier_queue_bytes 0"));
}

}  // namespace
}  // namespace atelier::server
