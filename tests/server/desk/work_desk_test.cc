#include "server/desk/work_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"
#include "tests/support/log_capture.h"

namespace atelier::server {
namespace {

using test::FakeClock;
using ::testing::HasSubstr;
using testing::SampleOutcome;
using testing::SampleWork;

class WorkDeskTest : public ::testing::Test {
 protected:
  WorkDeskTest() {
    models_.other = testing::SamplePatternModel();
    terms_.deadline = clock_.Now() + absl::Seconds(10);
  }

  RequestId Submit(Work work) {
    const RequestId id = desk_.NextId();
    desk_.Submit(id, std::move(work), terms_, [this](WorkAnswer answer) {
      EXPECT_FALSE(answer_.has_value());
      answer_.emplace(std::move(answer));
    });
    return id;
  }
  // As the dispatcher and a worker would.
  void Serve(absl::StatusOr<Outcome> outcome, absl::Duration time = absl::Milliseconds(100)) {
    const auto taken = queue_.TakeNext();
    ASSERT_TRUE(taken.has_value());
    clock_.Advance(time);
    queue_.Complete(taken->id, std::move(outcome));
  }
  WorkAnswer Answer() {
    EXPECT_TRUE(answer_.has_value());
    return *std::exchange(answer_, std::nullopt);
  }
  ModelStatistics Figures() const { return statistics_.Of("oil", 3); }

  FakeClock clock_;
  testing::FakeRegistry models_;
  prometheus::Registry registry_;
  QueueProbe probe_{registry_};
  RequestQueue queue_{{.max_waiting = 1}, clock_, probe_};
  ResponseCache cache_{registry_};
  ModelStatisticsTable statistics_{models_};
  RecentRequests recent_{{}, clock_};
  WorkDesk desk_{queue_, cache_, statistics_, clock_, &recent_};
  WorkTerms terms_;
  std::optional<WorkAnswer> answer_;
};

TEST_F(WorkDeskTest, WhatAWorkerMakesIsTheAnswer) {
  Submit(SampleWork());
  clock_.Advance(absl::Milliseconds(50));
  StylizeOutcome outcome = SampleOutcome();
  outcome.decode_s = 0.01;
  outcome.compute_s = 0.08;
  outcome.encode_s = 0.02;
  Serve(outcome);
  const WorkAnswer answer = Answer();
  ASSERT_TRUE(answer.outcome.ok()) << answer.outcome.status();
  EXPECT_EQ(answer.from, WorkAnswer::From::kWorker);
  EXPECT_EQ(answer.total, absl::Milliseconds(150));
  const ModelStatistics figures = Figures();
  EXPECT_EQ(figures.success, (Tally{1, absl::Milliseconds(150)}));
  EXPECT_EQ(figures.queue, (Tally{1, absl::Milliseconds(50)}));
  EXPECT_EQ(figures.decode, (Tally{1, absl::Milliseconds(10)}));
  EXPECT_EQ(figures.compute, (Tally{1, absl::Milliseconds(80)}));
  EXPECT_EQ(figures.encode, (Tally{1, absl::Milliseconds(20)}));
  EXPECT_EQ(figures.pictures, 1U);
  EXPECT_EQ(figures.last_inference, clock_.Now());
  EXPECT_EQ(figures.cache_miss.count, 0U);
}

TEST_F(WorkDeskTest, WhichVersionAnsweredIsRememberedOfAnswersOnly) {
  Submit(SampleWork());
  EXPECT_FALSE(recent_.Find("r").has_value());
  Serve(absl::DataLossError("damaged"));
  Answer();
  EXPECT_FALSE(recent_.Find("r").has_value());
  Submit(SampleWork());
  Serve(SampleOutcome());
  Answer();
  ASSERT_TRUE(recent_.Find("r").has_value());
  EXPECT_EQ(recent_.Find("r")->name, "oil");
  EXPECT_EQ(recent_.Find("r")->version, 3U);
}

TEST_F(WorkDeskTest, RefusalsAreFailuresWithoutALineInTheLog) {
  const test::LogCapture log;
  Submit(SampleWork());
  std::optional<WorkAnswer> refused;
  desk_.Submit(desk_.NextId(), SampleWork(), terms_,
               [&refused](WorkAnswer answer) { refused.emplace(std::move(answer)); });
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->from, WorkAnswer::From::kRefusal);
  EXPECT_TRUE(absl::IsResourceExhausted(refused->outcome.status()));
  EXPECT_TRUE(RetryDelayOf(refused->outcome.status()).has_value());
  EXPECT_EQ(Figures().fail.count, 1U);
  EXPECT_EQ(log.Text(), "");
  Serve(SampleOutcome());
}

TEST_F(WorkDeskTest, AWorkerWithoutMemorySaysWhenToTryAgain) {
  Submit(SampleWork());
  Serve(absl::ResourceExhaustedError("The device has no memory left."));
  const absl::Status status = Answer().outcome.status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(status.message(), "The device has no memory left.");
  EXPECT_EQ(RetryDelayOf(status), absl::Seconds(1));
}

TEST_F(WorkDeskTest, WhatIsRefusedIsNotKeptInMemory) {
  cache_.SetMaxBytes(1 << 20);
  Submit(SampleWork());
  std::optional<WorkAnswer> refused;
  StylizeWork other = SampleWork();
  other.image.front() = 'y';
  desk_.Submit(desk_.NextId(), other, terms_,
               [&refused](WorkAnswer answer) { refused.emplace(std::move(answer)); });
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->from, WorkAnswer::From::kRefusal);
  EXPECT_EQ(cache_.bytes(), 0U);
  Serve(SampleOutcome());
}

TEST_F(WorkDeskTest, FailuresAreLinesInTheLog) {
  const test::LogCapture log;
  Submit(SampleWork());
  Serve(absl::DataLossError("damaged"));
  EXPECT_TRUE(absl::IsDataLoss(Answer().outcome.status()));
  EXPECT_EQ(log.Text(), "request r for oil@3 ended DATA_LOSS after 0.100 s: damaged\n");
  EXPECT_EQ(Figures().fail, (Tally{1, absl::Milliseconds(100)}));
  EXPECT_EQ(Figures().success.count, 0U);
}

TEST_F(WorkDeskTest, WhatItsCallerGivesUpIsALineOnlyAtTheDeadline) {
  const test::LogCapture log;
  desk_.Cancel(Submit(SampleWork()));
  EXPECT_TRUE(absl::IsCancelled(Answer().outcome.status()));
  EXPECT_EQ(log.Text(), "");
  // gRPC cancels when its own clock has reached the deadline, a moment before ours.
  terms_.deadline = clock_.Now() + absl::Milliseconds(10);
  desk_.Cancel(Submit(SampleWork()));
  EXPECT_TRUE(absl::IsCancelled(Answer().outcome.status()));
  EXPECT_THAT(log.Text(), HasSubstr("ended CANCELLED"));
}

TEST_F(WorkDeskTest, TheSameRequestIsAnsweredFromTheCache) {
  cache_.SetMaxBytes(1 << 20);
  Submit(SampleWork());
  StylizeOutcome outcome = SampleOutcome("restyled");
  outcome.batch_size = 3;
  Serve(outcome);
  EXPECT_EQ(Answer().from, WorkAnswer::From::kWorker);

  StylizeWork again = SampleWork();
  again.request_id = "another";
  Submit(again);
  const WorkAnswer answer = Answer();
  EXPECT_EQ(answer.from, WorkAnswer::From::kCache);
  EXPECT_EQ(std::get<StylizeOutcome>(*answer.outcome).image, "restyled");
  EXPECT_EQ(queue_.waiting(), 0U);
  const ModelStatistics figures = Figures();
  EXPECT_EQ(figures.success.count, 2U);
  EXPECT_EQ(figures.queue.count, 2U);  // grows with whatever was served
  EXPECT_EQ(figures.compute.count, 1U);
  EXPECT_EQ(figures.cache_hit.count, 1U);
  EXPECT_EQ(figures.cache_miss.count, 1U);

  again.strength = 0.5F;
  Submit(again);
  EXPECT_EQ(queue_.waiting(), 1U);
  Serve(SampleOutcome());
}

TEST_F(WorkDeskTest, FailuresAreNotKept) {
  cache_.SetMaxBytes(1 << 20);
  Submit(SampleWork());
  Serve(absl::InternalError("out of luck"));
  EXPECT_FALSE(Answer().outcome.ok());
  Submit(SampleWork());
  EXPECT_EQ(queue_.waiting(), 1U);
  Serve(SampleOutcome());
  EXPECT_TRUE(Answer().outcome.ok());
}

TEST_F(WorkDeskTest, OnlyStylizedPicturesAreKept) {
  cache_.SetMaxBytes(1 << 20);
  Submit(testing::SampleGenerateWork());
  Serve(testing::SampleGenerateOutcome());
  EXPECT_TRUE(Answer().outcome.ok());
  Submit(IdentityWork{.request_id = "i", .payload = "bytes"});
  IdentityOutcome identity;
  identity.payload = "bytes";
  Serve(identity);
  EXPECT_TRUE(Answer().outcome.ok());
  EXPECT_EQ(cache_.bytes(), 0U);
  EXPECT_EQ(statistics_.Of("florals", 3).pictures, 2U);
  EXPECT_EQ(statistics_.Of("identity", 1).success.count, 1U);
}

TEST(WorkTraitsTest, TellWhatQueueAndDispatcherCountBy) {
  StylizeWork work = SampleWork();
  work.width = 2000;
  work.height = 1000;
  const WorkTerms terms{.client = "192.0.2.7", .priority = Priority::kHigh};
  RequestTraits traits = TraitsOf(work, terms);
  EXPECT_EQ(traits.model, "oil@3");
  EXPECT_EQ(traits.client, "192.0.2.7");
  EXPECT_EQ(traits.priority, Priority::kHigh);
  EXPECT_DOUBLE_EQ(traits.megapixels, 2);
  work.size = 1000;  // of the long side
  EXPECT_DOUBLE_EQ(TraitsOf(work, terms).megapixels, 0.5);
  GenerateWork patterns = testing::SampleGenerateWork(2);
  patterns.size = 1000;
  EXPECT_DOUBLE_EQ(TraitsOf(patterns, terms).megapixels, 2);
  EXPECT_GT(TraitsOf(IdentityWork(), terms).megapixels, 0);
  EXPECT_EQ(TraitsOf(IdentityWork(), terms).model, "identity@1");
}

TEST(WorkTraitsTest, FingerprintsDifferByEverythingAWorkerIsTold) {
  const StylizeWork base = SampleWork();
  const std::vector<std::function<void(StylizeWork&)>> changes = {
      [](StylizeWork& work) { work.image.back() = 'y'; },
      [](StylizeWork& work) { work.style_image = "style"; },
      [](StylizeWork& work) { work.model.version = 4; },
      [](StylizeWork& work) { work.strength = 0.5F; },
      [](StylizeWork& work) { work.preserve_color = true; },
      [](StylizeWork& work) { work.size = 100; },
      [](StylizeWork& work) { work.format = ImageFormat::kJpeg; },
      [](StylizeWork& work) { work.quality = 50; },
      [](StylizeWork& work) { work.precision = Precision::kBf16; },
      [](StylizeWork& work) { work.deterministic = true; },
      [](StylizeWork& work) { work.layout = PixelLayout::kFp32Chw; },
      [](StylizeWork& work) { work.mix = {{.label = "a", .weight = 1}}; },
      [](StylizeWork& work) { work.mix = {{.label = "a", .weight = 0.5}}; },
  };
  std::vector<std::uint64_t> seen = {FingerprintOf(base)};
  for (const auto& change : changes) {
    StylizeWork work = base;
    change(work);
    EXPECT_THAT(seen, ::testing::Not(::testing::Contains(FingerprintOf(work)))) << seen.size();
    seen.push_back(FingerprintOf(work));
  }
  StylizeWork again = base;
  again.request_id = "another";
  EXPECT_EQ(FingerprintOf(again), FingerprintOf(base));
  GenerateWork patterns = testing::SampleGenerateWork();
  const std::uint64_t before = FingerprintOf(patterns);
  patterns.seeds[0] = 99;
  EXPECT_NE(FingerprintOf(patterns), before);
}

}  // namespace
}  // namespace atelier::server
