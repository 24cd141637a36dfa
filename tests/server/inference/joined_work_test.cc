#include "server/inference/joined_work.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"

namespace atelier::server {
namespace {

using testing::SampleOutcome;
using testing::SampleWork;

class JoinedWorkTest : public ::testing::Test {
 protected:
  using Answers = absl::StatusOr<std::vector<WorkAnswer>>;

  std::shared_ptr<JoinedWork> Create(std::size_t works) {
    return JoinedWork::Create(desk_, works, [this](Answers answers) {
      EXPECT_FALSE(answers_.has_value());
      answers_.emplace(std::move(answers));
    });
  }
  void Start(JoinedWork& joined, std::size_t works) {
    joined.Start(std::vector<Work>(works, SampleWork()),
                 {.deadline = clock_.Now() + absl::Seconds(10)});
  }
  RequestId Take() { return queue_.TakeNext()->id; }

  test::FakeClock clock_;
  testing::FakeRegistry models_;
  prometheus::Registry registry_;
  QueueProbe probe_{registry_};
  RequestQueue queue_{{.max_waiting = 3}, clock_, probe_};
  ResponseCache cache_{registry_};
  ModelStatisticsTable statistics_{models_};
  WorkDesk desk_{queue_, cache_, statistics_, clock_};
  std::optional<Answers> answers_;
};

TEST_F(JoinedWorkTest, AnswersComeTogetherAndInOrder) {
  const auto joined = Create(3);
  Start(*joined, 3);
  const RequestId ids[] = {Take(), Take(), Take()};
  queue_.Complete(ids[2], SampleOutcome("c"));
  queue_.Complete(ids[0], SampleOutcome("a"));
  EXPECT_FALSE(answers_.has_value());
  queue_.Complete(ids[1], SampleOutcome("b"));
  ASSERT_TRUE(answers_.has_value());
  ASSERT_TRUE(answers_->ok()) << answers_->status();
  std::string order;
  for (WorkAnswer& answer : **answers_) {
    order += std::get<StylizeOutcome>(*answer.outcome).image;
  }
  EXPECT_EQ(order, "abc");
}

TEST_F(JoinedWorkTest, TheFirstErrorCancelsTheOthers) {
  const auto joined = Create(3);
  Start(*joined, 3);
  Take();
  const RequestId second = Take();
  queue_.Complete(second, absl::DataLossError("damaged"));
  ASSERT_TRUE(answers_.has_value());
  EXPECT_TRUE(absl::IsDataLoss(answers_->status())) << answers_->status();
  EXPECT_TRUE(queue_.AwaitEmpty(clock_.Now()));
}

TEST_F(JoinedWorkTest, ARefusalInTheMiddleTakesBackWhatWasAccepted) {
  const auto joined = Create(5);
  Start(*joined, 5);
  ASSERT_TRUE(answers_.has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(answers_->status())) << answers_->status();
  EXPECT_TRUE(queue_.AwaitEmpty(clock_.Now()));
}

TEST_F(JoinedWorkTest, IsCancelledOnItsWay) {
  const auto joined = Create(2);
  Start(*joined, 2);
  Take();
  joined->Cancel();
  ASSERT_TRUE(answers_.has_value());
  EXPECT_TRUE(absl::IsCancelled(answers_->status()));
  EXPECT_TRUE(queue_.AwaitEmpty(clock_.Now()));
  joined->Cancel();  // once more has no effect
}

TEST_F(JoinedWorkTest, IsCancelledBeforeItStarts) {
  const auto joined = Create(2);
  joined->Cancel();
  EXPECT_FALSE(answers_.has_value());
  Start(*joined, 2);
  ASSERT_TRUE(answers_.has_value());
  EXPECT_TRUE(absl::IsCancelled(answers_->status()));
  EXPECT_EQ(queue_.waiting(), 0U);
}

TEST_F(JoinedWorkTest, TheCacheAnswersBeforeStartReturns) {
  cache_.SetMaxBytes(1 << 20);
  cache_.Keep(FingerprintOf(SampleWork()), std::make_shared<const Work>(SampleWork()),
              SampleOutcome("kept"));
  const auto joined = Create(2);
  Start(*joined, 2);
  ASSERT_TRUE(answers_.has_value());
  ASSERT_TRUE(answers_->ok());
  EXPECT_EQ((**answers_)[1].from, WorkAnswer::From::kCache);
}

}  // namespace
}  // namespace atelier::server
