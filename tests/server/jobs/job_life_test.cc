// What happens to jobs between their start and their end.
#include <prometheus/text_serializer.h>

#include <algorithm>

#include "common/picture_bounds.h"
#include "server/jobs/job_ledger.h"
#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using internal::v1::JobFinished;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using v1::JOB_STATE_FAILED;
using v1::JOB_STATE_QUEUED;
using v1::JOB_STATE_RUNNING;
using v1::JOB_STATE_STARTING;
using v1::JOB_STATE_SUCCEEDED;

class JobLifeTest : public JobHarness {
 protected:
  std::string Metrics() const { return prometheus::TextSerializer().Serialize(metrics_.Collect()); }
};

TEST_F(JobLifeTest, AJobRunsAndItsModelIsPublished) {
  Begin();
  Create("oil-1");
  const TestLease lease = Launched(0);
  EXPECT_EQ(lease, (TestLease{"oil-1", 1}));
  EXPECT_EQ(Get("oil-1").state(), JOB_STATE_STARTING);

  const internal::v1::StartJob start = *manager_->TrainerConnected("oil-1", 1);
  EXPECT_EQ(start.spec().DebugString(), Spec("oil-1").DebugString());
  EXPECT_EQ(start.fence(), 1u);
  EXPECT_EQ(start.attempt_directory(), AttemptFolder(lease));
  EXPECT_TRUE(std::filesystem::is_directory(start.attempt_directory()));
  EXPECT_EQ(start.content_directory(), folder_ / "datasets/garments");
  EXPECT_EQ(start.style_directory(), folder_ / "datasets/paintings");
  EXPECT_EQ(start.resume_directory(), "");

  Started(lease);
  Progress(lease, 10);
  SaveCheckpoint(lease, 200);
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  Lose(lease, "exited with code 0");
  ASSERT_TRUE(Becomes("oil-1", JOB_STATE_SUCCEEDED));
  const v1::Job job = Get("oil-1");
  EXPECT_EQ(job.output_version(), 1u);
  EXPECT_EQ(job.attempts(), 1u);
  EXPECT_EQ(job.progress().step(), 10u);
  EXPECT_TRUE(job.has_start_time());
  EXPECT_TRUE(job.has_end_time());
  EXPECT_EQ(models_.name(), "oil");
  EXPECT_EQ(models_.result(), AttemptFolder(lease) / "result");
  EXPECT_THAT(States("oil-1"), ElementsAre(JOB_STATE_QUEUED, JOB_STATE_STARTING, JOB_STATE_RUNNING,
                                           JOB_STATE_SUCCEEDED));
}

TEST_F(JobLifeTest, AJobThatStoppedEarlySucceedsWithItsReason) {
  Begin();
  Finish(RunNew("a"), JobFinished::OUTCOME_SUCCEEDED, "stopped early after step 60 of 100");
  ASSERT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  EXPECT_EQ(Get("a").reason(), "stopped early after step 60 of 100");
}

TEST_F(JobLifeTest, JobsRunInTheOrderOfTheirCreation) {
  Begin();
  for (const char* id : {"a", "b", "c"}) {
    Create(id);
  }
  for (const std::size_t index : {0u, 1u, 2u}) {
    const TestLease lease = Launched(index);
    Run(lease);
    EXPECT_EQ(launcher_.launches().size(), index + 1);
    Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
    Lose(lease, "exited with code 0");
  }
  EXPECT_THAT(launcher_.launches(),
              ElementsAre(TestLease{"a", 1}, TestLease{"b", 1}, TestLease{"c", 1}));
}

TEST_F(JobLifeTest, TheNextJobWaitsForTheProcessOfTheLastOne) {
  Begin();
  const TestLease lease = RunNew("a");
  Create("b");
  Finish(lease, JobFinished::OUTCOME_FAILED, "no memory");
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_EQ(Get("b").state(), JOB_STATE_QUEUED);
  Lose(lease, "exited with code 1");
  EXPECT_EQ(Launched(1).job_id, "b");
}

TEST_F(JobLifeTest, AsManyJobsRunAsAllowed) {
  launcher_.places = 2;
  Begin();
  for (const char* id : {"a", "b", "c"}) {
    Create(id);
  }
  Run(Launched(0));
  Run(Launched(1));
  EXPECT_EQ(Get("c").state(), JOB_STATE_QUEUED);
}

TEST_F(JobLifeTest, AFailedTrainingTellsItsReason) {
  Begin();
  Finish(RunNew("a"), JobFinished::OUTCOME_FAILED, "the data set holds no readable picture");
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_EQ(Get("a").reason(), "the data set holds no readable picture");
}

TEST_F(JobLifeTest, OnlyThePresentLeaseMayDialInAndOnlyOnce) {
  Begin();
  Create("a");
  const TestLease lease = Launched(0);
  EXPECT_TRUE(absl::IsPermissionDenied(manager_->TrainerConnected("a", lease.fence + 1).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(manager_->TrainerConnected("b", lease.fence).status()));
  EXPECT_TRUE(manager_->TrainerConnected("a", lease.fence).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(manager_->TrainerConnected("a", lease.fence).status()));
}

TEST_F(JobLifeTest, AStaleLeaseIsNotListenedTo) {
  Begin();
  const TestLease stale = RunNew("a");
  Lose(stale);
  const TestLease present = Launched(1);
  Run(present);
  Finish(stale, JobFinished::OUTCOME_FAILED, "an old story");
  Warn(stale, "an old story");
  Progress(stale, 999);
  Lose(stale);
  Warn(present, "the last word");
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").warnings_size() == 2; }));
  EXPECT_EQ(Get("a").warnings(1), "the last word");
  EXPECT_EQ(Get("a").state(), JOB_STATE_RUNNING);
  EXPECT_FALSE(Get("a").has_progress());
  EXPECT_EQ(launcher_.launches().size(), 2u);
}

TEST_F(JobLifeTest, ALauncherThatRefusesIsTriedAgainThenTheJobFails) {
  launcher_.Answer(absl::InternalError("cannot fork"));
  Begin();
  Create("a");
  for (const std::size_t index : {0u, 1u, 2u}) {
    Launched(index);
    EXPECT_TRUE(test::WaitUntil([&] { return Get("a").state() != JOB_STATE_STARTING; }));
    clock_.Advance(options_.retry_delay);
  }
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_THAT(Get("a").reason(), HasSubstr("cannot fork"));
}

TEST_F(JobLifeTest, AJobThatCannotStartForWantOfRoomSaysSoOnceAndStartsLater) {
  Restart();
  Create("a");
  // As unwritable as a full disk, and for root, too.
  std::ofstream(options_.jobs_directory / "a") << "in the way";
  manager_->Start(launcher_);
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").warnings_size() == 1; }));
  EXPECT_THAT(Get("a").warnings(0), HasSubstr("the job cannot start yet: "));
  EXPECT_EQ(Get("a").state(), JOB_STATE_QUEUED);
  clock_.Advance(options_.retry_delay);
  clock_.Advance(options_.retry_delay);
  std::filesystem::remove(options_.jobs_directory / "a");
  EXPECT_TRUE(test::WaitUntil([&] {
    clock_.Advance(options_.retry_delay);
    return launcher_.launches().size() == 1;
  }));
  EXPECT_EQ(Get("a").warnings_size(), 1);
  EXPECT_EQ(Get("a").attempts(), 1u);
}

TEST_F(JobLifeTest, ATrainerThatNeverDialsInIsKilled) {
  Begin();
  Create("a");
  const TestLease lease = Launched(0);
  clock_.Advance(options_.start_timeout);
  ASSERT_TRUE(test::WaitUntil([&] { return launcher_.stops().size() == 1; }));
  EXPECT_EQ(launcher_.stops()[0].kill_after_ms, 0u);
  Lose(lease, "killed by signal 9");
  EXPECT_EQ(Launched(1).fence, 2u);
  EXPECT_THAT(Get("a").warnings(),
              ElementsAre("attempt 1 ended: the trainer did not dial in within 300 s and was "
                          "killed; going on from step 0"));
}

TEST_F(JobLifeTest, AJobWhoseDataSetIsGoneFailsAtItsStart) {
  Restart();
  Create("a");
  std::filesystem::remove_all(folder_ / "datasets/paintings");
  manager_->Start(launcher_);
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_THAT(Get("a").reason(), HasSubstr("paintings"));
  EXPECT_TRUE(launcher_.launches().empty());
}

TEST_F(JobLifeTest, AModelThatCannotBePublishedFailsTheJob) {
  models_.Answer(absl::DataLossError("the weights file does not have the checksum of model.json"));
  Begin();
  Finish(RunNew("a"), JobFinished::OUTCOME_SUCCEEDED);
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_THAT(Get("a").reason(), HasSubstr("could not be published"));
  EXPECT_EQ(Get("a").output_version(), 0u);
}

TEST_F(JobLifeTest, AResultOutsideTheAttemptIsRefused) {
  Begin();
  const TestLease lease = RunNew("a");
  internal::v1::JobUpdate update = Update(lease);
  update.mutable_finished()->set_outcome(JobFinished::OUTCOME_SUCCEEDED);
  update.mutable_finished()->set_result_directory("/etc");
  manager_->TrainerUpdate(update);
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_EQ(models_.tries(), 0);
}

TEST_F(JobLifeTest, NewsThatTheStoreRefusesIsStoredLater) {
  Begin();
  const TestLease lease = RunNew("a");
  store_.full = true;
  Progress(lease, 10);  // may be lost
  SaveCheckpoint(lease, 200);
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  Lose(lease, "exited with code 0");
  ASSERT_TRUE(test::WaitUntil([&] { return store_.refused >= 2; }));
  EXPECT_EQ(Get("a").state(), JOB_STATE_RUNNING);
  store_.full = false;
  clock_.Advance(options_.retry_delay);
  ASSERT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  Create("b");  // the slot is free again
  EXPECT_EQ(Launched(1).job_id, "b");
}

TEST_F(JobLifeTest, ProgressIsStoredTwiceASecondAndTheLastWordIsKept) {
  Begin();
  const TestLease lease = RunNew("a");
  for (std::uint64_t step = 1; step <= 10; ++step) {
    Progress(lease, step);
  }
  Warn(lease, "half-way");
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").warnings_size() == 1; }));
  EXPECT_EQ(Get("a").progress().step(), 1u);
  clock_.Advance(absl::Milliseconds(500));
  Progress(lease, 11);
  Progress(lease, 12);
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  ASSERT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  EXPECT_EQ(Get("a").progress().step(), 12u);
  std::vector<std::uint64_t> steps;
  for (const v1::JobEvent& event : Events("a")) {
    if (event.has_progress()) {
      steps.push_back(event.progress().step());
    }
  }
  EXPECT_THAT(steps, ElementsAre(1u, 11u, 12u));
}

TEST_F(JobLifeTest, WarningsAndSamplesAreBounded) {
  Begin();
  const TestLease lease = RunNew("a");
  internal::v1::JobUpdate sample = Update(lease);
  sample.mutable_sample()->set_image(std::string(kMaxSampleBytes + 1, 'x'));
  manager_->TrainerUpdate(sample);
  sample.mutable_sample()->set_image("small");
  manager_->TrainerUpdate(sample);
  for (std::size_t i = 0; i <= kMaxWarnings; ++i) {
    Warn(lease, std::to_string(i) + std::string(2000, 'w'));
  }
  // Three states, one sample, all warnings.
  const std::size_t expected = 3 + 1 + kMaxWarnings + 1;
  ASSERT_TRUE(test::WaitUntil([&] { return Events("a").size() == expected; }));
  EXPECT_EQ(Get("a").warnings_size(), static_cast<int>(kMaxWarnings));
  EXPECT_EQ(Get("a").warnings(0).size(), kMaxSentenceBytes);
}

TEST_F(JobLifeTest, AnAttemptThatGoesOnRepeatsNoWarning) {
  Begin();
  const TestLease first = RunNew("a");
  const std::string broken = "broken.jpg could not be read" + std::string(2000, '!');
  Warn(first, broken);
  Lose(first);
  const TestLease second = Launched(1);
  Run(second);
  Warn(second, broken);
  Warn(second, "another one");
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").warnings_size() == 3; }));
  EXPECT_EQ(Get("a").warnings(0), BoundedSentence(broken));
  EXPECT_EQ(Get("a").warnings(2), "another one");
  const std::vector<std::string> told = SentencesOf("a");
  EXPECT_EQ(std::count(told.begin(), told.end(), BoundedSentence(broken)), 1);
}

TEST_F(JobLifeTest, OfAPublishedResultTheModelsCopyRemains) {
  Begin();
  const TestLease lease = RunNew("a");
  SaveCheckpoint(lease, 200);
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);  // told twice, published once
  Lose(lease, "exited with code 0");
  ASSERT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  EXPECT_TRUE(
      test::WaitUntil([&] { return !std::filesystem::exists(AttemptFolder(lease) / "result"); }));
  EXPECT_TRUE(std::filesystem::exists(AttemptFolder(lease) / "checkpoints/step-200/complete"));
  Finish(RunNew("b"), JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_TRUE(Becomes("b", JOB_STATE_SUCCEEDED)) << "nothing is in its way";
  EXPECT_EQ(models_.tries(), 2);
}

TEST_F(JobLifeTest, AResultStaysUntilTheEndOfItsJobIsOnDisk) {
  models_.Answer(absl::ResourceExhaustedError("the server's disk is full"));
  Begin();
  const TestLease lease = RunNew("a");
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").warnings_size() == 1; }));
  EXPECT_TRUE(std::filesystem::exists(AttemptFolder(lease) / "result"));

  // The model is published, but the row cannot say so; then the server is gone.
  store_.full = true;
  const int refused = store_.refused;
  models_.Answer(absl::OkStatus());
  clock_.Advance(options_.retry_delay);
  ASSERT_TRUE(test::WaitUntil([&] { return store_.refused > refused; }));
  EXPECT_TRUE(std::filesystem::exists(AttemptFolder(lease) / "result"));
  store_.full = false;
  Begin();
  ASSERT_TRUE(Becomes("a", JOB_STATE_SUCCEEDED));
  EXPECT_TRUE(
      test::WaitUntil([&] { return !std::filesystem::exists(AttemptFolder(lease) / "result"); }));
}

TEST_F(JobLifeTest, AResultThatCannotBePublishedStaysForItsOwner) {
  models_.Answer(absl::DataLossError("the weights are damaged"));
  Begin();
  const TestLease lease = RunNew("a");
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  EXPECT_TRUE(std::filesystem::exists(AttemptFolder(lease) / "result"));
}

TEST_F(JobLifeTest, SentencesAreCutBetweenCharacters) {
  EXPECT_EQ(BoundedSentence("kurz"), "kurz");
  std::string umlauts;
  while (umlauts.size() <= kMaxSentenceBytes) {
    umlauts += "xü";
  }
  const std::string cut = BoundedSentence("x" + umlauts);
  EXPECT_LE(cut.size(), kMaxSentenceBytes);
  EXPECT_NE(static_cast<unsigned char>(cut.back()), 0xc3);
}

TEST_F(JobLifeTest, MetricsShowRunningJobsAndForgetEndedOnes) {
  Begin();
  const TestLease lease = RunNew("a");
  Create("b");
  Progress(lease, 10);
  ASSERT_TRUE(test::WaitUntil(
      [&] { return Metrics().find("atelier_jobs{state=\"queued\"} 1") != std::string::npos; }));
  ASSERT_TRUE(test::WaitUntil([&] { return Get("a").progress().step() == 10; }));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_jobs{state=\"running\"} 1"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_training_loss{job=\"a\",loss=\"style\"} 0.5"));
  EXPECT_THAT(Metrics(), HasSubstr("atelier_training_images_per_second{job=\"a\"} 12.5"));
  Finish(lease, JobFinished::OUTCOME_SUCCEEDED);
  Lose(lease, "exited with code 0");
  Launched(1);
  EXPECT_THAT(Metrics(), Not(HasSubstr("job=\"a\"")));
  ASSERT_TRUE(test::WaitUntil(
      [&] { return Metrics().find("atelier_jobs{state=\"succeeded\"} 1") != std::string::npos; }));
}

TEST_F(JobLifeTest, LossSeriesOfAJobAreBounded) {
  v1::JobProgress progress;
  for (int i = 0; i < 100; ++i) {
    (*progress.mutable_losses())["loss-" + std::to_string(i)] = i;
  }
  probe_.Progress("a", progress);
  std::size_t series = 0;
  for (std::size_t at = 0; (at = Metrics().find("loss=\"", at)) != std::string::npos; ++at) {
    ++series;
  }
  EXPECT_EQ(series, JobProbe::kMaxLosses);
}

}  // namespace
}  // namespace atelier::server
