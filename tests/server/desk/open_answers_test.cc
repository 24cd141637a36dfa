#include "server/desk/open_answers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

class OpenAnswersTest : public ::testing::Test {
 protected:
  // What the queue says of a request with a picture of so many bytes.
  absl::Status Ask(const char* client, std::size_t bytes) {
    auto request = std::make_unique<Request>(queue_.NextId(), testing::SampleWork(bytes),
                                             RequestTraits{.model = "oil@3", .client = client},
                                             clock_.Now() + absl::Hours(1),
                                             [](const absl::StatusOr<Outcome>&) {});
    const RequestId id = request->id();
    const absl::Status status = queue_.Enqueue(request);
    queue_.Cancel(id);
    return status;
  }

  test::FakeClock clock_;
  prometheus::Registry registry_;
  QueueProbe probe_{registry_};
  RequestQueue queue_{{.max_bytes = 1000}, clock_, probe_};
  OpenAnswers answers_{queue_, clock_};
};

TEST_F(OpenAnswersTest, WhatIsOnItsWayTakesTheRoomOfWhatWaits) {
  auto answer = answers_.Open("a");
  EXPECT_TRUE(Ask("b", 1000).ok()) << "an answer that is owed takes nothing";
  answer->Sent(900, [] {});
  EXPECT_TRUE(Ask("b", 100).ok());
  const absl::Status refused = Ask("b", 101);
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_TRUE(RetryDelayOf(refused).has_value());
  answer.reset();
  EXPECT_TRUE(Ask("b", 1000).ok());
}

TEST_F(OpenAnswersTest, WhatIsNotTakenWithinThePatienceIsGivenUpOnce) {
  queue_.SetLimits({.answer_patience = absl::Seconds(10)});
  std::atomic<int> first = 0;
  std::atomic<int> second = 0;
  const auto one = answers_.Open("a");
  one->Sent(10, [&] { ++first; });
  clock_.Advance(absl::Seconds(5));
  const auto two = answers_.Open("a");
  two->Sent(10, [&] { ++second; });
  clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(test::WaitUntil([&] { return first == 1; }));
  EXPECT_EQ(second, 0);
  clock_.Advance(absl::Seconds(5));
  EXPECT_TRUE(test::WaitUntil([&] { return second == 1; }));
  EXPECT_EQ(first, 1);
}

TEST_F(OpenAnswersTest, WhatWasTakenIsNotGivenUp) {
  queue_.SetLimits({.answer_patience = absl::Seconds(10)});
  std::atomic<bool> given_up = false;
  auto taken = answers_.Open("a");
  taken->Sent(10, [&] { given_up = true; });
  taken.reset();
  std::atomic<bool> later = false;
  const auto other = answers_.Open("a");
  other->Sent(0, [&] { later = true; });
  clock_.Advance(absl::Minutes(1));
  EXPECT_TRUE(test::WaitUntil([&] { return later.load(); }));
  EXPECT_FALSE(given_up);
}

TEST_F(OpenAnswersTest, TheEndOfThoseThatAreOpenCanBeWaitedFor) {
  EXPECT_TRUE(answers_.AwaitThoseOpen(clock_.Now()));
  auto answer = answers_.Open("a");
  EXPECT_FALSE(answers_.AwaitThoseOpen(clock_.Now()));
  std::atomic<bool> ended = false;
  std::thread waiter([&] { ended = answers_.AwaitThoseOpen(clock_.Now() + absl::Minutes(1)); });
  answer->Sent(10, [] {});
  answer.reset();
  waiter.join();
  EXPECT_TRUE(ended);
}

TEST_F(OpenAnswersTest, ThoseThatCameLaterAreNotWaitedFor) {
  // A stream that goes on: each answer ends when the next one is open already.
  auto answer = answers_.Open("a");
  std::atomic<bool> ended = false;
  std::thread waiter([&] { ended = answers_.AwaitThoseOpen(clock_.Now() + absl::Minutes(1)); });
  EXPECT_TRUE(test::WaitUntil([&] {
    answer = answers_.Open("a");  // which opens before the one before it ends
    return ended.load();
  }));
  answer.reset();
  waiter.join();
}

}  // namespace
}  // namespace atelier::server
