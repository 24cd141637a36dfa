// Setting jobs aside and taking them up again.
#include <thread>

#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using internal::v1::JobFinished;
using internal::v1::StopJob;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using v1::JOB_STATE_CANCELLED;
using v1::JOB_STATE_CANCELLING;
using v1::JOB_STATE_FAILED;
using v1::JOB_STATE_PAUSED;
using v1::JOB_STATE_PAUSING;
using v1::JOB_STATE_QUEUED;
using v1::JOB_STATE_RUNNING;
using v1::JOB_STATE_STARTING;
using v1::JOB_STATE_SUCCEEDED;

class JobPauseTest : public JobHarness {
 protected:
  v1::JobState Pause(const std::string& id) {
    const absl::StatusOr<v1::Job> job = manager_->PauseJob(id);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.value_or(v1::Job()).state();
  }
  v1::JobState Resume(const std::string& id) {
    const absl::StatusOr<v1::Job> job = manager_->ResumeJob(id);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.value_or(v1::Job()).state();
  }
  // A job that ran to step 200, was paused, and whose trainer is gone.
  TestLease PausedAt200(const std::string& id) {
    const TestLease lease = RunNew(id);
    EXPECT_EQ(Pause(id), JOB_STATE_PAUSING);
    SaveCheckpoint(lease, 200);
    Finish(lease, JobFinished::OUTCOME_STOPPED);
    Lose(lease, "exited with code 0");
    EXPECT_TRUE(Becomes(id, JOB_STATE_PAUSED));
    return lease;
  }
};

TEST_F(JobPauseTest, ARunningJobSavesIsPausedAndGoesOnFromThere) {
  Begin();
  const TestLease lease = RunNew("a");
  EXPECT_EQ(Pause("a"), JOB_STATE_PAUSING);
  ASSERT_THAT(launcher_.stops(), SizeIs(1));
  EXPECT_EQ(launcher_.stops()[0].lease, lease);
  EXPECT_EQ(launcher_.stops()[0].why, StopJob::WHY_PAUSE);
  EXPECT_EQ(launcher_.stops()[0].kill_after_ms,
            static_cast<std::uint32_t>(absl::ToInt64Milliseconds(options_.pause_grace)));
  SaveCheckpoint(lease, 200);
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  ASSERT_TRUE(Becomes("a", JOB_STATE_PAUSED));
  EXPECT_EQ(Events("a").back().state().reason(), "paused by its owner; going on from step 200");
  Lose(lease, "exited with code 0");
  EXPECT_EQ(Get("a").warnings_size(), 0);
  EXPECT_FALSE(Get("a").has_end_time());

  EXPECT_EQ(Resume("a"), JOB_STATE_QUEUED);
  const TestLease second = Launched(1);
  EXPECT_EQ(second, (TestLease{"a", 2}));
  EXPECT_EQ(manager_->TrainerConnected("a", 2)->resume_directory(),
            AttemptFolder(lease) / "checkpoints/step-200");
  Started(second);
  Finish(second, JobFinished::OUTCOME_SUCCEEDED);
  ASSERT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  EXPECT_THAT(States("a"), ElementsAre(JOB_STATE_QUEUED, JOB_STATE_STARTING, JOB_STATE_RUNNING,
                                       JOB_STATE_PAUSING, JOB_STATE_PAUSED, JOB_STATE_QUEUED,
                                       JOB_STATE_STARTING, JOB_STATE_RUNNING, JOB_STATE_SUCCEEDED));
}

TEST_F(JobPauseTest, APausedJobLeavesItsPlaceToOthers) {
  Begin();
  PausedAt200("a");
  Create("b");
  EXPECT_EQ(Launched(1).job_id, "b");
  EXPECT_EQ(Get("a").state(), JOB_STATE_PAUSED);
}

TEST_F(JobPauseTest, AWaitingJobIsPausedAtOnceAndKeepsItsAge) {
  Begin();
  const TestLease running = RunNew("running");
  Create("old");
  Create("new");
  EXPECT_EQ(Pause("old"), JOB_STATE_PAUSED);
  EXPECT_EQ(Resume("old"), JOB_STATE_QUEUED);
  Finish(running, JobFinished::OUTCOME_SUCCEEDED);
  Lose(running, "exited with code 0");
  EXPECT_EQ(Launched(1).job_id, "old");
}

TEST_F(JobPauseTest, AJobThatIsPausedBeforeItsTrainerDialledInIsPausedWhenThatIsGone) {
  Begin();
  Create("a");
  const TestLease lease = Launched(0);
  EXPECT_EQ(Pause("a"), JOB_STATE_PAUSING);
  EXPECT_TRUE(test::WaitUntil([&] { return !launcher_.stops().empty(); }));
  EXPECT_TRUE(absl::IsPermissionDenied(manager_->TrainerConnected("a", lease.fence).status()));
  Lose(lease, "killed by signal 15");
  EXPECT_TRUE(Becomes("a", JOB_STATE_PAUSED));
}

TEST_F(JobPauseTest, PausingAndResumingTwiceIsNoError) {
  Begin();
  const TestLease lease = RunNew("a");
  EXPECT_EQ(Resume("a"), JOB_STATE_RUNNING);
  EXPECT_EQ(Pause("a"), JOB_STATE_PAUSING);
  EXPECT_EQ(Pause("a"), JOB_STATE_PAUSING);
  EXPECT_THAT(launcher_.stops(), SizeIs(1));
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  ASSERT_TRUE(Becomes("a", JOB_STATE_PAUSED));
  EXPECT_EQ(Pause("a"), JOB_STATE_PAUSED);
  const std::size_t events = Events("a").size();
  EXPECT_EQ(Resume("a"), JOB_STATE_QUEUED);
  EXPECT_EQ(Resume("a"), JOB_STATE_QUEUED);  // its last process is still there
  EXPECT_EQ(Events("a").size(), events + 1);
}

TEST_F(JobPauseTest, AnEndedOrCancelledJobCanBeNeitherPausedNorResumed) {
  Begin();
  const TestLease failed = RunNew("failed");
  Finish(failed, JobFinished::OUTCOME_FAILED, "no memory");
  Lose(failed);
  const TestLease cancelling = RunNew("cancelling");
  ASSERT_TRUE(manager_->CancelJob("cancelling").ok());
  Create("cancelled");
  ASSERT_TRUE(manager_->CancelJob("cancelled").ok());
  ASSERT_TRUE(Becomes("failed", JOB_STATE_FAILED));
  for (const char* id : {"failed", "cancelling", "cancelled"}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(manager_->PauseJob(id).status())) << id;
    EXPECT_TRUE(absl::IsFailedPrecondition(manager_->ResumeJob(id).status())) << id;
  }
  EXPECT_EQ(manager_->PauseJob("failed").status().message(),
            "the job has failed already; only an unfinished job can be paused");
  EXPECT_EQ(manager_->ResumeJob("cancelling").status().message(),
            "the job is being cancelled and can no longer be resumed");
  EXPECT_TRUE(absl::IsNotFound(manager_->PauseJob("nobody").status()));
  EXPECT_TRUE(absl::IsNotFound(manager_->ResumeJob("nobody").status()));
  EXPECT_EQ(FieldOf(manager_->PauseJob("../a").status()), "job_id");
  EXPECT_EQ(FieldOf(manager_->ResumeJob("").status()), "job_id");
}

TEST_F(JobPauseTest, AJobWhoseModelWaitsToBePublishedCannotBePaused) {
  models_.Answer(absl::ResourceExhaustedError("the server's disk is full"));
  Begin();
  Finish(RunNew("a"), JobFinished::OUTCOME_SUCCEEDED);
  ASSERT_TRUE(test::WaitUntil([&] { return models_.tries() > 0; }));
  EXPECT_TRUE(absl::IsFailedPrecondition(manager_->PauseJob("a").status()));
  EXPECT_EQ(Get("a").state(), JOB_STATE_RUNNING);
}

TEST_F(JobPauseTest, CancelWorksWhileItPausesAndAfter) {
  Begin();
  const TestLease lease = RunNew("a");
  Pause("a");
  EXPECT_EQ(manager_->CancelJob("a")->state(), JOB_STATE_CANCELLING);
  ASSERT_THAT(launcher_.stops(), SizeIs(2)) << "a pause has a minute, a cancellation has not";
  EXPECT_EQ(launcher_.stops()[1].why, StopJob::WHY_CANCEL);
  EXPECT_LT(launcher_.stops()[1].kill_after_ms, 10'000u);
  Lose(lease);
  EXPECT_TRUE(Becomes("a", JOB_STATE_CANCELLED));

  PausedAt200("b");
  EXPECT_EQ(manager_->CancelJob("b")->state(), JOB_STATE_CANCELLED);
  EXPECT_TRUE(Get("b").has_end_time());
}

TEST_F(JobPauseTest, ACancelledJobThatWasResumedTooEarlyLeavesNoTrainerBehind) {
  Begin();
  RunNew("a");
  Pause("a");
  EXPECT_EQ(Resume("a"), JOB_STATE_QUEUED);
  EXPECT_EQ(manager_->CancelJob("a")->state(), JOB_STATE_CANCELLED);
  ASSERT_THAT(launcher_.stops(), SizeIs(2));
  EXPECT_EQ(launcher_.stops()[1].why, StopJob::WHY_CANCEL);
}

TEST_F(JobPauseTest, ATrainerThatHadToBeKilledLeavesItsJobPausedAtTheLastCheckpoint) {
  Begin();
  const TestLease lease = RunNew("a");
  SaveCheckpoint(lease, 100);
  Pause("a");
  Lose(lease, "killed by signal 9");
  ASSERT_TRUE(Becomes("a", JOB_STATE_PAUSED));
  EXPECT_EQ(Events("a").back().state().reason(),
            "paused by its owner (killed by signal 9); going on from step 100");
}

TEST_F(JobPauseTest, PausesDoNotCountAsCrashes) {
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 12; ++index) {
    Run(Launched(index));
    EXPECT_EQ(Pause("a"), JOB_STATE_PAUSING);
    Lose(launcher_.launches().back());
    ASSERT_TRUE(Becomes("a", JOB_STATE_PAUSED)) << index;
    EXPECT_EQ(Resume("a"), JOB_STATE_QUEUED);
  }
  EXPECT_EQ(Launched(12).fence, 13u);
  EXPECT_EQ(Get("a").warnings_size(), 0);
}

TEST_F(JobPauseTest, WhatATrainerSaysLastWhileItPausesCounts) {
  launcher_.places = 2;
  Begin();
  const TestLease done = RunNew("done");
  const TestLease broken = RunNew("broken");
  Pause("done");
  Pause("broken");
  Finish(done, JobFinished::OUTCOME_SUCCEEDED);
  Finish(broken, JobFinished::OUTCOME_FAILED, "the server's disk is full");
  ASSERT_TRUE(Becomes("done", JOB_STATE_SUCCEEDED));
  EXPECT_EQ(Get("done").output_version(), 1u);
  ASSERT_TRUE(Becomes("broken", JOB_STATE_FAILED));
  EXPECT_EQ(Get("broken").reason(), "the server's disk is full");
}

TEST_F(JobPauseTest, AJobResumedWhileItPausesWaitsForItsTrainerAndLosesNothing) {
  Begin();
  const TestLease lease = RunNew("a");
  Pause("a");
  EXPECT_EQ(Resume("a"), JOB_STATE_QUEUED);
  EXPECT_THAT(launcher_.launches(), SizeIs(1));
  SaveCheckpoint(lease, 250);
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  ASSERT_TRUE(test::WaitUntil([&] { return Events("a").back().has_checkpoint(); }));
  EXPECT_EQ(Get("a").state(), JOB_STATE_QUEUED);
  EXPECT_THAT(launcher_.launches(), SizeIs(1));
  Lose(lease, "exited with code 0");
  const TestLease second = Launched(1);
  EXPECT_EQ(manager_->TrainerConnected("a", second.fence)->resume_directory(),
            AttemptFolder(lease) / "checkpoints/step-250");
  EXPECT_THAT(States("a"), ElementsAre(JOB_STATE_QUEUED, JOB_STATE_STARTING, JOB_STATE_RUNNING,
                                       JOB_STATE_PAUSING, JOB_STATE_QUEUED, JOB_STATE_STARTING));
}

TEST_F(JobPauseTest, AJobResumedWhileItsTrainerWasDoneEndsInItsNextAttempt) {
  Begin();
  const TestLease lease = RunNew("a");
  Pause("a");
  Resume("a");
  SaveCheckpoint(lease, 1000);
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  Lose(lease, "exited with code 0");
  const TestLease second = Launched(1);
  EXPECT_EQ(manager_->TrainerConnected("a", second.fence)->resume_directory(),
            AttemptFolder(lease) / "checkpoints/step-1000");
  Finish(second, JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
}

TEST_F(JobPauseTest, AJobWhoseDataSetIsGoneStaysPaused) {
  Begin();
  PausedAt200("a");
  std::filesystem::remove_all(folder_ / "datasets/paintings");
  const absl::Status gone = manager_->ResumeJob("a").status();
  EXPECT_TRUE(absl::IsNotFound(gone)) << gone;
  EXPECT_EQ(ResourceOf(gone)->name, "paintings");
  std::filesystem::create_directories(folder_ / "datasets/paintings");
  const absl::Status empty = manager_->ResumeJob("a").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(empty)) << empty;
  EXPECT_THAT(std::string(empty.message()), HasSubstr("\"paintings\" holds no pictures"));
  EXPECT_EQ(Get("a").state(), JOB_STATE_PAUSED);
  std::ofstream(folder_ / "datasets/paintings/a.jpg") << "x";
  EXPECT_EQ(Resume("a"), JOB_STATE_QUEUED);
}

TEST_F(JobPauseTest, WhatAJobStartedFromMayBeGoneOnceItHasACheckpoint) {
  models_.Add("base", folder_ / "base", "faststyle", "lite");
  launcher_.places = 2;
  Begin();
  for (const char* id : {"young", "old"}) {
    v1::JobSpec spec = Spec(id);
    spec.mutable_train()->set_init_from("base");
    ASSERT_TRUE(manager_->CreateJob(spec).ok());
  }
  const TestLease young = Launched(0);
  const TestLease old = Launched(1);
  Run(young);
  Run(old);
  SaveCheckpoint(old, 100);
  for (const TestLease& lease : {young, old}) {
    Pause(lease.job_id);
    Lose(lease);
    ASSERT_TRUE(Becomes(lease.job_id, JOB_STATE_PAUSED));
  }
  models_.Remove("base");
  EXPECT_TRUE(absl::IsNotFound(manager_->ResumeJob("young").status()));
  EXPECT_EQ(Resume("old"), JOB_STATE_QUEUED);
}

TEST_F(JobPauseTest, ACompressionNeedsItsSourceToGoOn) {
  models_.Add("oil@1", folder_ / "oil", "cyclegan", "resnet-9");
  Begin();
  v1::JobSpec spec;
  spec.set_job_id("small");
  spec.set_output_model("small");
  spec.mutable_prune()->set_steps(10);
  spec.mutable_prune()->set_model("oil@1");
  spec.mutable_prune()->mutable_data()->set_content("garments");
  ASSERT_TRUE(manager_->CreateJob(spec).ok());
  const TestLease lease = Launched(0);
  Run(lease);
  SaveCheckpoint(lease, 5);
  Pause("small");
  Lose(lease);
  ASSERT_TRUE(Becomes("small", JOB_STATE_PAUSED));
  models_.Remove("oil@1");
  EXPECT_TRUE(absl::IsNotFound(manager_->ResumeJob("small").status()));
}

TEST_F(JobPauseTest, ARestartedServerKeepsPausedJobsAndPausesThoseThatWereAboutTo) {
  Plant("pausing", JOB_STATE_PAUSING);
  Plant("paused", JOB_STATE_PAUSED);
  Begin();
  EXPECT_EQ(Get("pausing").state(), JOB_STATE_PAUSED);
  EXPECT_EQ(Events("pausing").back().state().reason(),
            "paused by its owner (the server was restarted); going on from step 0");
  EXPECT_EQ(Get("paused").state(), JOB_STATE_PAUSED);
  EXPECT_EQ(Resume("paused"), JOB_STATE_QUEUED);
  EXPECT_EQ(Launched(0), (TestLease{"paused", 2}));
}

TEST_F(JobPauseTest, AJobThatPausesDuringADrainIsPaused) {
  Begin();
  const TestLease lease = RunNew("a");
  std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == 1; }));
  EXPECT_EQ(Pause("a"), JOB_STATE_PAUSING);
  EXPECT_TRUE(absl::IsUnavailable(manager_->ResumeJob("a").status()));
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  Lose(lease, "exited with code 0");
  drain.join();
  EXPECT_EQ(Get("a").state(), JOB_STATE_PAUSED);
}

TEST_F(JobPauseTest, ADrainHurriesATrainerThatPauses) {
  Begin();
  const TestLease lease = RunNew("a");
  Pause("a");
  std::thread drain([this] { manager_->Drain(absl::Seconds(20)); });
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == 2; }));
  EXPECT_LT(launcher_.stops()[1].kill_after_ms, 20'000u);
  Lose(lease);
  drain.join();
  EXPECT_EQ(Get("a").state(), JOB_STATE_PAUSED);
}

TEST_F(JobPauseTest, PausedJobsCountAgainstThoseThatMayWait) {
  options_.max_waiting = 2;
  Restart();
  Create("a");
  Create("b");
  EXPECT_EQ(Pause("a"), JOB_STATE_PAUSED);
  const absl::Status status = manager_->CreateJob(Spec("c")).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 jobs wait or are paused"));
  EXPECT_EQ(Resume("a"), JOB_STATE_QUEUED);
}

TEST_F(JobPauseTest, AServerThatCannotTrainLeavesAJobPaused) {
  Begin();
  PausedAt200("a");
  launcher_.BeReady(absl::FailedPreconditionError("this server cannot train"));
  EXPECT_EQ(manager_->ResumeJob("a").status(),
            absl::FailedPreconditionError("this server cannot train"));
  EXPECT_EQ(Get("a").state(), JOB_STATE_PAUSED);
}

TEST_F(JobPauseTest, AFullDiskLeavesTheJobAsItWas) {
  Begin();
  RunNew("a");
  store_.full = true;
  EXPECT_TRUE(absl::IsResourceExhausted(manager_->PauseJob("a").status()));
  store_.full = false;
  EXPECT_EQ(Get("a").state(), JOB_STATE_RUNNING);
  EXPECT_TRUE(launcher_.stops().empty());
}

}  // namespace
}  // namespace atelier::server
