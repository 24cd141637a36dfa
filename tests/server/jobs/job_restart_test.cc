// What a server that ends, in order or not, does to its jobs.
#include <thread>

#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using internal::v1::JobFinished;
using testing::HasSubstr;
using v1::JOB_STATE_CANCELLED;
using v1::JOB_STATE_FAILED;
using v1::JOB_STATE_QUEUED;
using v1::JOB_STATE_RUNNING;
using v1::JOB_STATE_STARTING;
using v1::JOB_STATE_SUCCEEDED;

class JobRestartTest : public JobHarness {};

TEST_F(JobRestartTest, ARestartedServerGoesOnWhereTheLastOneStopped) {
  Plant("starting", JOB_STATE_STARTING);
  Plant("running", JOB_STATE_RUNNING);
  Plant("cancelling", v1::JOB_STATE_CANCELLING);
  Plant("queued", JOB_STATE_QUEUED);
  Plant("failed", JOB_STATE_FAILED);
  Restart();
  EXPECT_EQ(Get("starting").state(), JOB_STATE_QUEUED);
  EXPECT_EQ(Get("running").state(), JOB_STATE_QUEUED);
  EXPECT_EQ(Get("cancelling").state(), JOB_STATE_CANCELLED);
  EXPECT_EQ(Get("queued").state(), JOB_STATE_QUEUED);
  EXPECT_EQ(Get("failed").state(), JOB_STATE_FAILED);
  EXPECT_THAT(Events("running").back().state().reason(), HasSubstr("the server was restarted"));
  manager_->Start(launcher_);
  EXPECT_EQ(Launched(0), (TestLease{"starting", 2}));
}

// A job that takes the machine down would otherwise do so for ever.
TEST_F(JobRestartTest, AJobBeneathWhichServersKeepDyingFails) {
  options_.max_server_deaths = 3;
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 3; ++index) {
    Run(Launched(index));
    Begin();  // the one before said nothing
  }
  EXPECT_EQ(Get("a").state(), JOB_STATE_FAILED);
  EXPECT_EQ(Get("a").reason(),
            "the server died 3 times in a row while the job was at work, without a new checkpoint "
            "after step 0; the job may be what takes the machine down");
  EXPECT_EQ(launcher_.launches().size(), 3u);
}

TEST_F(JobRestartTest, DeathsBeforeTheTrainerDialledInCountToo) {
  options_.max_server_deaths = 2;
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 2; ++index) {
    Launched(index);
    ASSERT_TRUE(Becomes("a", JOB_STATE_STARTING));
    Begin();
  }
  EXPECT_EQ(Get("a").state(), JOB_STATE_FAILED);
}

TEST_F(JobRestartTest, ANewCheckpointForgetsTheDeathsOfServers) {
  options_.max_server_deaths = 3;
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 6; ++index) {
    const TestLease lease = Launched(index);
    Run(lease);
    if (index % 2 == 1) {
      SaveCheckpoint(lease, 10 * index);
      ASSERT_TRUE(test::WaitUntil([&] { return Events("a").back().has_checkpoint(); }));
    }
    Begin();
  }
  EXPECT_EQ(Launched(6).fence, 7u);
}

// The server died in the moment between the file and its row.
TEST_F(JobRestartTest, ACheckpointThatNobodyHeardOfIsProgressOnce) {
  options_.max_server_deaths = 2;
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 3; ++index) {
    Run(Launched(index));
    if (index == 1) {
      const auto folder = AttemptFolder({"a", 2}) / "checkpoints/step-50";
      std::filesystem::create_directories(folder);
      std::ofstream(folder / "complete") << "";
    }
    Begin();
    EXPECT_EQ(Get("a").state() == JOB_STATE_FAILED, index == 2) << index;
  }
  EXPECT_THAT(Get("a").reason(), HasSubstr("after step 50"));
}

TEST_F(JobRestartTest, AServerThatStopsInOrderHasNotDiedEvenIfItIsKilledMeanwhile) {
  options_.max_server_deaths = 2;
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 4; ++index) {
    Run(Launched(index));
    std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
    ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == index + 1; }));
    clock_.Advance(absl::Seconds(20));
    drain.join();
    ASSERT_EQ(Get("a").state(), JOB_STATE_RUNNING);
    Begin();
  }
  EXPECT_EQ(Launched(4).fence, 5u);
  // The mark is of that server alone.
  Run(Launched(4));
  Begin();
  Run(Launched(5));
  Begin();
  EXPECT_EQ(Get("a").state(), JOB_STATE_FAILED);
}

TEST_F(JobRestartTest, AJobThatWasPausingIsPausedWhateverDied) {
  options_.max_server_deaths = 1;
  Begin();
  RunNew("a");
  ASSERT_TRUE(manager_->PauseJob("a").ok());
  Begin();
  EXPECT_EQ(Get("a").state(), v1::JOB_STATE_PAUSED);
}

TEST_F(JobRestartTest, RestartsOfTheServerDoNotCountAsCrashes) {
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 5; ++index) {
    Run(Launched(index));
    Begin();
  }
  EXPECT_EQ(Launched(5).fence, 6u);
}

TEST_F(JobRestartTest, AResultThatWaitedForARestartIsPublished) {
  Plant("a", JOB_STATE_RUNNING, "a/attempts/1/result");
  Begin();
  ASSERT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  EXPECT_EQ(models_.result(), options_.jobs_directory / "a/attempts/1/result");
  EXPECT_TRUE(launcher_.launches().empty());
}

TEST_F(JobRestartTest, ADrainLetsTheTrainerSaveAndQueuesTheJobAgain) {
  Begin();
  const TestLease lease = RunNew("a");
  Create("b");
  std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == 1; }));
  EXPECT_EQ(launcher_.stops()[0].why, internal::v1::StopJob::WHY_DRAIN);
  EXPECT_LT(launcher_.stops()[0].kill_after_ms, 20'000u);
  EXPECT_TRUE(absl::IsUnavailable(manager_->CreateJob(Spec("c")).status()));
  EXPECT_TRUE(absl::IsUnavailable(manager_->Watch("a", 0, [] {}).status()));
  SaveCheckpoint(lease, 300);
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  Lose(lease, "exited with code 0");
  drain.join();
  EXPECT_EQ(Get("a").state(), JOB_STATE_QUEUED);
  EXPECT_EQ(Get("b").state(), JOB_STATE_QUEUED);
  EXPECT_EQ(Get("a").warnings_size(), 0);
  EXPECT_EQ(launcher_.launches().size(), 1u);
  Begin();
  EXPECT_EQ(Launched(1), (TestLease{"a", 2}));
  EXPECT_EQ(manager_->TrainerConnected("a", 2)->resume_directory(),
            AttemptFolder(lease) / "checkpoints/step-300");
}

TEST_F(JobRestartTest, ADrainedTrainerThatHadToBeKilledIsQueuedAgain) {
  Begin();
  const TestLease lease = RunNew("a");
  std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == 1; }));
  Lose(lease);
  drain.join();
  EXPECT_EQ(Get("a").state(), JOB_STATE_QUEUED);
}

TEST_F(JobRestartTest, ADrainEndsAtItsBound) {
  Begin();
  RunNew("a");
  std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == 1; }));
  clock_.Advance(absl::Seconds(20));
  drain.join();
  EXPECT_EQ(Get("a").state(), JOB_STATE_RUNNING);
  Restart();
  EXPECT_EQ(Get("a").state(), JOB_STATE_QUEUED);
}

TEST_F(JobRestartTest, ADrainWithoutJobsEndsAtOnce) {
  Begin();
  manager_->Drain(absl::Seconds(20));
  manager_->Stop();
  Restart();
  manager_->Drain(absl::Seconds(20));  // before any start, too
}

TEST_F(JobRestartTest, AJobCancelledDuringADrainIsCancelledInTime) {
  Begin();
  const TestLease lease = RunNew("a");
  std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == 1; }));
  ASSERT_TRUE(manager_->CancelJob("a").ok());
  ASSERT_EQ(launcher_.stops().size(), 2u);
  EXPECT_LT(launcher_.stops()[1].kill_after_ms, 10'000u);
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  Lose(lease, "exited with code 0");
  drain.join();
  EXPECT_EQ(Get("a").state(), JOB_STATE_CANCELLED);
}

}  // namespace
}  // namespace atelier::server
