// Results that are done and not yet what they become.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using internal::v1::JobFinished;
using v1::JOB_STATE_CANCELLED;
using v1::JOB_STATE_CANCELLING;
using v1::JOB_STATE_RUNNING;
using v1::JOB_STATE_SUCCEEDED;

using JobPublishingTest = JobHarness;

TEST_F(JobPublishingTest, AFullDiskDelaysPublishingButLosesNothing) {
  models_.Answer(absl::ResourceExhaustedError("the server's disk is full"));
  Begin();
  const TestLease lease = RunNew("a");
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  Lose(lease, "exited with code 0");
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").warnings_size() == 1; }));
  EXPECT_EQ(Get("a").state(), JOB_STATE_RUNNING);
  models_.Answer(absl::OkStatus());
  clock_.Advance(options_.retry_delay);
  EXPECT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  EXPECT_EQ(Get("a").warnings_size(), 1);
}

TEST_F(JobPublishingTest, AJobWhoseResultWaitsForTheDiskCanBeCancelled) {
  models_.Answer(absl::ResourceExhaustedError("the server's disk is full"));
  Begin();
  const TestLease lease = RunNew("a");
  const std::filesystem::path result = AttemptFolder(lease) / "result";
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  Lose(lease, "exited with code 0");
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").warnings_size() == 1; }));
  ASSERT_TRUE(std::filesystem::exists(result));
  const absl::StatusOr<v1::Job> cancelled = manager_->CancelJob("a");
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state(), JOB_STATE_CANCELLING);
  const int tries = models_.tries();
  clock_.Advance(options_.retry_delay);
  EXPECT_TRUE(Becomes("a", JOB_STATE_CANCELLED));
  EXPECT_EQ(models_.tries(), tries);
  EXPECT_TRUE(test::WaitUntil([&] { return !std::filesystem::exists(result); }));
}

TEST_F(JobPublishingTest, AJobKeepsTheCheckpointsOfAllAttemptsThatOneWouldKeep) {
  Begin();
  const TestLease first = RunNew("a");
  for (const std::uint64_t step : {200, 400, 600}) {
    SaveCheckpoint(first, step);
  }
  Lose(first);
  const TestLease second = Launched(1);
  Run(second);
  SaveCheckpoint(second, 800);
  const auto oldest = AttemptFolder(first) / "checkpoints/step-200";
  EXPECT_TRUE(test::WaitUntil([&] { return !std::filesystem::exists(oldest); }));
  EXPECT_TRUE(std::filesystem::exists(AttemptFolder(first) / "checkpoints/step-400"));
}

TEST_F(JobPublishingTest, AResultThatCannotBePublishedKeepsNoOtherWaiting) {
  models_.AnswerFor("a", absl::ResourceExhaustedError("the server's disk is full"));
  launcher_.places = 2;
  Begin();
  const TestLease first = RunNew("a");
  const TestLease second = RunNew("b");
  Finish(first, JobFinished::OUTCOME_SUCCEEDED);
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").warnings_size() == 1; }));
  Finish(second, JobFinished::OUTCOME_SUCCEEDED);
  clock_.Advance(options_.retry_delay);
  EXPECT_TRUE(Becomes("b", JOB_STATE_SUCCEEDED));
  EXPECT_EQ(Get("a").state(), JOB_STATE_RUNNING);
}

}  // namespace
}  // namespace atelier::server
