// Going on from checkpoints: after a trainer was lost, and from another job's.
#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using internal::v1::JobFinished;
using testing::ElementsAre;
using testing::HasSubstr;
using v1::JOB_STATE_FAILED;
using v1::JOB_STATE_QUEUED;
using v1::JOB_STATE_SUCCEEDED;

class JobResumeTest : public JobHarness {};

TEST_F(JobResumeTest, AJobStartsFromAnotherJobsCheckpoint) {
  Begin();
  const TestLease source = RunNew("a");
  SaveCheckpoint(source, 200);
  SaveCheckpoint(source, 400);
  Finish(source, JobFinished::OUTCOME_SUCCEEDED);
  Lose(source, "exited with code 0");
  ASSERT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  v1::JobSpec spec = Spec("b");
  spec.mutable_train()->set_init_from("job:a@200");
  ASSERT_TRUE(manager_->CreateJob(spec).ok());
  const TestLease lease = Launched(1);
  const internal::v1::StartJob start = *manager_->TrainerConnected("b", lease.fence);
  EXPECT_EQ(start.init_directory(), AttemptFolder(source) / "checkpoints/step-200");

  spec.set_job_id("c");
  spec.mutable_train()->set_init_from("job:a@300");
  EXPECT_TRUE(absl::IsNotFound(manager_->CreateJob(spec).status()));
  spec.mutable_train()->set_init_from("job:../a");
  EXPECT_EQ(FieldOf(manager_->CreateJob(spec).status()), "train.init_from");
  spec.mutable_train()->set_init_from("job:a@last");
  EXPECT_EQ(FieldOf(manager_->CreateJob(spec).status()), "train.init_from");
  spec.mutable_train()->set_init_from("program");  // a TorchScript model
  EXPECT_EQ(FieldOf(manager_->CreateJob(spec).status()), "train.init_from");
}

TEST_F(JobResumeTest, AJobStartsFromAModelUntilItHasACheckpointOfItsOwn) {
  models_.Add("oil@2", folder_ / "models/oil/2", "faststyle", "lite");
  Begin();
  v1::JobSpec spec = Spec("a");
  spec.mutable_train()->set_init_from("oil@3");
  EXPECT_TRUE(absl::IsNotFound(manager_->CreateJob(spec).status()));
  spec.mutable_train()->set_init_from("oil@2");
  ASSERT_TRUE(manager_->CreateJob(spec).ok());
  const TestLease first = Launched(0);
  const auto start = manager_->TrainerConnected("a", first.fence);
  ASSERT_TRUE(start.ok()) << start.status();
  EXPECT_EQ(start->init_directory(), folder_ / "models/oil/2");
  EXPECT_TRUE(start->source_directory().empty());
  EXPECT_TRUE(start->resume_directory().empty());
  Started(first);
  SaveCheckpoint(first, 200);
  models_.Remove("oil@2");
  Lose(first);
  const TestLease second = Launched(1);
  const auto again = manager_->TrainerConnected("a", second.fence);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->resume_directory(), AttemptFolder(first) / "checkpoints/step-200");
  EXPECT_TRUE(again->init_directory().empty()) << "the model may be gone by now";
}

TEST_F(JobResumeTest, ALostTrainerGoesOnFromItsNewestWholeCheckpoint) {
  Begin();
  const TestLease first = RunNew("a");
  SaveCheckpoint(first, 200);
  SaveCheckpoint(first, 400);
  Progress(first, 430);
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").progress().step() == 430; }));
  std::filesystem::create_directories(AttemptFolder(first) / "checkpoints/step-600");  // half
  Lose(first, "killed by signal 9");
  const TestLease second = Launched(1);
  EXPECT_EQ(second.fence, 2u);
  EXPECT_EQ(Get("a").progress().step(), 400u) << "what came after the checkpoint is lost";
  EXPECT_FALSE(Get("a").progress().has_eta());
  EXPECT_EQ(manager_->TrainerConnected("a", 2)->resume_directory(),
            AttemptFolder(first) / "checkpoints/step-400");
  constexpr char kReason[] = "attempt 1 ended: killed by signal 9; going on from step 400";
  EXPECT_THAT(Get("a").warnings(), ElementsAre(kReason));
  EXPECT_THAT(SentencesOf("a"), ElementsAre(kReason)) << "a watcher is told once";
  Started(second);
  Finish(second, JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  EXPECT_EQ(Get("a").attempts(), 2u);
}

TEST_F(JobResumeTest, ATrainerThatKeepsCrashingFailsItsJob) {
  Begin();
  Create("a");
  for (const std::size_t index : {0u, 1u, 2u}) {
    const TestLease lease = Launched(index);
    Run(lease);
    Lose(lease, "killed by signal 11");
  }
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_THAT(Get("a").reason(), HasSubstr("3 times in a row"));
  EXPECT_THAT(Get("a").reason(), HasSubstr("killed by signal 11"));
  EXPECT_EQ(launcher_.launches().size(), 3u);
}

TEST_F(JobResumeTest, CrashesWithNewCheckpointsBetweenThemAreNoReasonToFail) {
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 6; ++index) {
    const TestLease lease = Launched(index);
    Run(lease);
    if (index % 2 == 1) {
      SaveCheckpoint(lease, 100 * (index + 1));
    }
    Lose(lease);
  }
  EXPECT_EQ(Launched(6).fence, 7u);
}

TEST_F(JobResumeTest, AJobThatCrawlsFromCrashToCrashFails) {
  Begin();
  Create("a");
  for (std::size_t index = 0; index < options_.max_crashes; ++index) {
    const TestLease lease = Launched(index);
    Run(lease);
    Progress(lease, index + 1);  // of 1000
    SaveCheckpoint(lease, index + 1);
    Lose(lease, "killed by signal 11");
  }
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_EQ(Get("a").reason(),
            "the trainer ended 10 times while the job came from step 0 to 10, at last: killed by "
            "signal 11");
  EXPECT_EQ(launcher_.launches().size(), options_.max_crashes);
}

TEST_F(JobResumeTest, CrashesAreForgottenWithEveryTenthOfTheSteps) {
  options_.max_crashes = 3;
  Begin();
  Create("a");
  std::size_t index = 0;
  for (const std::uint64_t step : {10u, 20u, 120u, 130u, 230u, 240u, 340u}) {
    const TestLease lease = Launched(index++);
    Run(lease);
    Progress(lease, step);
    SaveCheckpoint(lease, step);
    Lose(lease);
  }
  EXPECT_EQ(Launched(index).fence, index + 1) << "two crashes in every hundred steps";
}

TEST_F(JobResumeTest, CrashesAreRememberedOverRestartsOfTheServer) {
  options_.max_crashes = 3;
  Begin();
  Create("a");
  std::size_t index = 0;
  for (const std::uint64_t step : {1u, 2u, 3u}) {
    const TestLease lease = Launched(index++);
    Run(lease);
    Progress(lease, step);
    SaveCheckpoint(lease, step);
    Lose(lease);
    if (step < 3) {
      Launched(index++);  // its next attempt, which the restart takes with it
      Begin();
    }
  }
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_THAT(Get("a").reason(), HasSubstr("3 times while the job came from step 0 to 3"));
}

TEST_F(JobResumeTest, ACheckpointThatCannotBeUsedFailsTheJobAtOnce) {
  Begin();
  const TestLease first = RunNew("a");
  SaveCheckpoint(first, 200);
  Lose(first);
  const TestLease second = Launched(1);
  Run(second);
  Finish(second, JobFinished::OUTCOME_FAILED, "the checkpoint of step 200 is damaged");
  Lose(second, "exit code 1");
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_EQ(Get("a").reason(), "the checkpoint of step 200 is damaged");
  EXPECT_EQ(launcher_.launches().size(), 2u);
}

TEST_F(JobResumeTest, TheSameCheckpointAgainIsNoProgress) {
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 4; ++index) {
    const TestLease lease = Launched(index);
    Run(lease);
    SaveCheckpoint(lease, 200);
    Lose(lease);
  }
  EXPECT_TRUE(Becomes("a", JOB_STATE_FAILED));
}

TEST_F(JobResumeTest, ATrainerThatStopsUnaskedCountsAsLost) {
  Begin();
  const TestLease lease = RunNew("a");
  Finish(lease, JobFinished::OUTCOME_STOPPED);
  ASSERT_TRUE(Becomes("a", JOB_STATE_QUEUED));
  EXPECT_THAT(Get("a").warnings(0), HasSubstr("without being asked"));
  Lose(lease, "exited with code 0");
  EXPECT_EQ(Launched(1).fence, 2u);
}

// Machines of trainers are restarted, and spot machines taken away, more often than any bound.
TEST_F(JobResumeTest, ATrainerThatSavedSomethingNewBeforeItStoppedIsNeverCounted) {
  options_.max_fruitless_attempts = 2;
  options_.max_crashes = 2;
  Begin();
  Create("a");
  for (std::uint64_t step = 1; step <= 5; ++step) {
    const TestLease lease = Launched(step - 1);
    Run(lease);
    Progress(lease, step);
    SaveCheckpoint(lease, step);
    Finish(lease, JobFinished::OUTCOME_STOPPED);
    Lose(lease, "worker far left");
  }
  EXPECT_EQ(Launched(5).fence, 6u);
}

TEST_F(JobResumeTest, ATrainerThatStoppedBeforeItSavedAnythingIsBoundedAsACrashOnly) {
  options_.max_fruitless_attempts = 2;
  options_.max_crashes = 4;
  Begin();
  Create("a");
  for (std::size_t index = 0; index < 4; ++index) {
    const TestLease lease = Launched(index);
    ASSERT_TRUE(manager_->TrainerConnected(lease.job_id, lease.fence).ok());
    Finish(lease, JobFinished::OUTCOME_STOPPED);
    Lose(lease, "worker far left");
  }
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_THAT(Get("a").reason(), HasSubstr("ended 4 times while"));
}

// A crash is one: neither does a stop make good for it.
TEST_F(JobResumeTest, StopsBetweenCrashesDoNotHideThatTheyAreFruitless) {
  options_.max_fruitless_attempts = 2;
  Begin();
  const TestLease crashed = RunNew("a");
  Lose(crashed);
  const TestLease stopped = Launched(1);
  Run(stopped);
  Finish(stopped, JobFinished::OUTCOME_STOPPED);
  Lose(stopped, "worker far left");
  const TestLease again = Launched(2);
  Run(again);
  Lose(again);
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_THAT(Get("a").reason(), HasSubstr("2 times in a row"));
}

TEST_F(JobResumeTest, ATrainerThatCannotSaysWhyAndAnotherMayTry) {
  options_.max_fruitless_attempts = 2;
  Begin();
  const TestLease first = RunNew("a");
  Finish(first, JobFinished::OUTCOME_UNSPECIFIED, "on the worker: the cache is too small");
  ASSERT_TRUE(Becomes("a", JOB_STATE_QUEUED));
  EXPECT_THAT(Get("a").warnings(0), HasSubstr("the cache is too small"));
  Lose(first, "worker far left");
  const TestLease second = Launched(1);
  Run(second);
  Finish(second, JobFinished::OUTCOME_UNSPECIFIED, "on the worker: the cache is too small");
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_THAT(Get("a").reason(), HasSubstr("at last: on the worker: the cache is too small"));
}

TEST_F(JobResumeTest, ATrainerThatSaysNothingOfItsEndIsHeardWhenItIsLost) {
  Begin();
  const TestLease lease = RunNew("a");
  Finish(lease, JobFinished::OUTCOME_UNSPECIFIED);
  Lose(lease, "killed by signal 9");
  EXPECT_EQ(Launched(1).fence, 2u);
  EXPECT_THAT(Get("a").warnings(0), HasSubstr("killed by signal 9"));
}

}  // namespace
}  // namespace atelier::server
