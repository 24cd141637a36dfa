// Jobs that are deleted, by their owner or because enough have ended after them.
#include <filesystem>

#include "server/jobs/job_bin.h"
#include "tests/server/jobs/job_harness.h"

namespace atelier::server {
namespace {

using internal::v1::JobFinished;
using testing::HasSubstr;
using v1::JOB_STATE_CANCELLED;
using v1::JOB_STATE_FAILED;
using v1::JOB_STATE_QUEUED;
using v1::JOB_STATE_RUNNING;
using v1::JOB_STATE_SUCCEEDED;

namespace fs = std::filesystem;

class JobDeleteTest : public JobHarness {
 protected:
  // A job that has trained, saved and failed; its process is gone.
  void FailNew(const std::string& id) {
    const TestLease lease = RunNew(id);
    SaveCheckpoint(lease, 100);
    Finish(lease, JobFinished::OUTCOME_FAILED, "no");
    Lose(lease, "exited with code 1");
    ASSERT_TRUE(Becomes(id, JOB_STATE_FAILED));
    ASSERT_TRUE(test::WaitUntil([&] { return !manager_->HoldsLease(id, lease.fence); }));
  }
  bool IsThere(const std::string& id) const { return manager_->GetJob(id).ok(); }
  fs::path Folder(const std::string& id) const { return options_.jobs_directory / id; }
  // Nothing of any deleted job is left.
  [[nodiscard]] bool BinIsEmpty() const {
    return test::WaitUntil([&] {
      std::error_code error;
      return fs::is_empty(options_.jobs_directory / ".deleted", error);
    });
  }
  // A folder with one file.
  static void MakeFolder(const fs::path& folder) {
    fs::create_directories(folder);
    std::ofstream(folder / "log.txt") << "x";
  }
  void PlantModel(const std::string& job_id) {
    const store::ModelRecord record = {.name = "oil", .version = 3, .job_id = job_id};
    ASSERT_TRUE(
        sqlite_->Write([&](store::Writer& writer) { return writer.InsertModel(record); }).ok());
  }
};

TEST_F(JobDeleteTest, AJobGoesWithItsEventsAndFiles) {
  Begin();
  FailNew("a");
  Create("b");
  ASSERT_TRUE(fs::exists(Folder("a")));
  EXPECT_TRUE(manager_->DeleteJob("a").ok());
  EXPECT_FALSE(IsThere("a"));
  EXPECT_TRUE(Events("a").empty());
  EXPECT_FALSE(fs::exists(Folder("a")));
  EXPECT_TRUE(BinIsEmpty());
  EXPECT_TRUE(IsThere("b"));
  EXPECT_TRUE(absl::IsNotFound(manager_->DeleteJob("a")));
  EXPECT_EQ(FieldOf(manager_->DeleteJob("../b")), "job_id");
}

TEST_F(JobDeleteTest, OnlyWhatHasEndedIsDeleted) {
  for (const auto state : {JOB_STATE_QUEUED, v1::JOB_STATE_STARTING, JOB_STATE_RUNNING,
                           v1::JOB_STATE_PAUSING, v1::JOB_STATE_PAUSED, v1::JOB_STATE_CANCELLING}) {
    manager_.reset();
    Plant("a", state);
    JobBin bin(store_, options_.jobs_directory);
    MakeFolder(Folder("a"));
    const absl::Status refused = bin.Delete("a", [] { return false; });
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << state;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("cancel it first"));
    EXPECT_TRUE(fs::exists(Folder("a") / "log.txt"));
    ASSERT_TRUE(sqlite_->Write([&](store::Writer& writer) { return writer.DeleteJob("a"); }).ok());
  }
}

TEST_F(JobDeleteTest, ATrainerThatIsAliveWhenTheEndIsReadKeepsTheFolder) {
  Plant("a", JOB_STATE_FAILED);
  JobBin bin(store_, options_.jobs_directory);
  MakeFolder(Folder("a"));
  EXPECT_TRUE(RetryDelayOf(bin.Delete("a", [] { return true; })).has_value());
  EXPECT_TRUE(fs::exists(Folder("a") / "log.txt"));
  EXPECT_TRUE(bin.Delete("a", [] { return false; }).ok());
  EXPECT_FALSE(fs::exists(Folder("a")));
}

TEST_F(JobDeleteTest, AJobThatNeverBeganHasNoFiles) {
  Begin();
  RunNew("busy");
  Create("a");
  ASSERT_TRUE(manager_->CancelJob("a").ok());
  EXPECT_TRUE(manager_->DeleteJob("a").ok());
  EXPECT_FALSE(IsThere("a"));
}

TEST_F(JobDeleteTest, ATrainerThatIsStillEndingIsWaitedFor) {
  Begin();
  const TestLease lease = RunNew("a");
  Finish(lease, JobFinished::OUTCOME_FAILED, "no");
  ASSERT_TRUE(Becomes("a", JOB_STATE_FAILED));
  const absl::Status ending = manager_->DeleteJob("a");
  EXPECT_TRUE(absl::IsResourceExhausted(ending));
  EXPECT_TRUE(RetryDelayOf(ending).has_value());
  Lose(lease, "exited with code 1");
  EXPECT_TRUE(test::WaitUntil([&] { return manager_->DeleteJob("a").ok(); }));
}

TEST_F(JobDeleteTest, ADeletedIdBeginsAnew) {
  Begin();
  FailNew("a");
  ASSERT_TRUE(manager_->DeleteJob("a").ok());
  Create("a");
  const TestLease lease = Launched(1);
  EXPECT_EQ(lease, (TestLease{"a", 1}));
  const auto start = manager_->TrainerConnected("a", 1);
  ASSERT_TRUE(start.ok()) << start.status();
  EXPECT_EQ(start->resume_directory(), "") << "of the job before";
  EXPECT_EQ(Events("a").front().sequence(), 1u);
}

TEST_F(JobDeleteTest, TheIdOfAJobThatMadeAVersionIsNotGivenAgain) {
  Begin();
  FailNew("a");
  PlantModel("a");
  ASSERT_TRUE(manager_->DeleteJob("a").ok());
  const absl::Status taken = manager_->CreateJob(Spec("a")).status();
  EXPECT_TRUE(absl::IsAlreadyExists(taken));
  EXPECT_THAT(std::string(taken.message()), HasSubstr("made oil@3"));
}

TEST_F(JobDeleteTest, WhatAnotherJobStartsFromStaysUntilThatHasACheckpoint) {
  Begin();
  FailNew("a");
  v1::JobSpec spec = Spec("b");
  spec.mutable_train()->set_init_from("job:a@100");
  ASSERT_TRUE(manager_->CreateJob(spec).ok());
  const TestLease lease = Launched(1);
  Run(lease);
  const absl::Status needed = manager_->DeleteJob("a");
  EXPECT_TRUE(absl::IsFailedPrecondition(needed));
  EXPECT_THAT(std::string(needed.message()), HasSubstr("the job \"b\" starts from it"));
  SaveCheckpoint(lease, 10);
  EXPECT_TRUE(manager_->DeleteJob("a").ok());
}

TEST_F(JobDeleteTest, AWatchOfADeletedJobEnds) {
  Begin();
  FailNew("a");
  std::atomic<int> wakes = 0;
  const auto watch = *manager_->Watch("a", 0, [&] { ++wakes; });
  ASSERT_TRUE(manager_->DeleteJob("a").ok());
  EXPECT_GE(wakes, 1);
  EXPECT_TRUE(absl::IsNotFound(*watch->Next().end));
}

TEST_F(JobDeleteTest, AFullDiskLeavesAllOfIt) {
  Begin();
  FailNew("a");
  for (std::atomic<bool>* full : {&store_.full, &store_.full_at_last}) {
    *full = true;
    EXPECT_TRUE(absl::IsResourceExhausted(manager_->DeleteJob("a")));
    *full = false;
    EXPECT_TRUE(IsThere("a"));
    EXPECT_TRUE(fs::exists(Folder("a") / "attempts/1/checkpoints/step-100/complete"));
  }
  ASSERT_TRUE(manager_->DeleteJob("a").ok());
  EXPECT_TRUE(BinIsEmpty());
}

TEST_F(JobDeleteTest, AFolderThatCannotBeMovedLeavesAllOfIt) {
  Begin();
  FailNew("a");
  std::ofstream(options_.jobs_directory / ".deleted") << "in the way";
  EXPECT_FALSE(manager_->DeleteJob("a").ok());
  EXPECT_TRUE(IsThere("a"));
  EXPECT_FALSE(Events("a").empty());
  EXPECT_TRUE(fs::exists(Folder("a") / "attempts/1/checkpoints/step-100/complete"));
}

// Killed between the rename and the end of the transaction.
TEST_F(JobDeleteTest, ADeletionThatWasCutOffIsUndoneByTheNextServer) {
  Plant("a", JOB_STATE_FAILED);
  MakeFolder(options_.jobs_directory / ".deleted/a.1");
  Begin();
  EXPECT_TRUE(IsThere("a"));
  EXPECT_TRUE(fs::exists(Folder("a") / "log.txt"));
  EXPECT_TRUE(BinIsEmpty());
}

// Killed behind it.
TEST_F(JobDeleteTest, FilesOfADeletedJobThatWereLeftGoWithTheNextServer) {
  Plant("a", JOB_STATE_FAILED);
  MakeFolder(options_.jobs_directory / ".deleted/a.7");  // an earlier "a"
  MakeFolder(options_.jobs_directory / ".deleted/b.8");
  MakeFolder(Folder("a"));
  Begin();
  EXPECT_TRUE(BinIsEmpty());
  EXPECT_TRUE(fs::exists(Folder("a") / "log.txt"));
  EXPECT_FALSE(fs::exists(Folder("b")));
}

TEST_F(JobDeleteTest, TheNewestThatEndedAreKept) {
  options_.keep_finished = 2;
  Begin();
  for (const char* id : {"a", "b", "c", "d"}) {
    FailNew(id);
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_TRUE(test::WaitUntil([&] { return !IsThere("a") && !IsThere("b"); }));
  EXPECT_TRUE(IsThere("c"));
  EXPECT_TRUE(IsThere("d"));
  EXPECT_FALSE(fs::exists(Folder("b")));
  EXPECT_TRUE(BinIsEmpty());
  EXPECT_EQ(manager_->ListJobs(0, 10)->jobs.size(), 2u);
}

TEST_F(JobDeleteTest, ALimitThatIsNewHoldsForAllThatHaveEndedAndForNoOthers) {
  constexpr int kEnded = 50;
  for (int i = 0; i < kEnded; ++i) {
    Plant("ended-" + std::to_string(i), i % 2 == 0 ? JOB_STATE_SUCCEEDED : JOB_STATE_CANCELLED);
  }
  Plant("paused", v1::JOB_STATE_PAUSED);
  Begin();
  EXPECT_EQ(manager_->ListJobs(0, 100)->jobs.size(), kEnded + 1u) << "without one all are kept";
  options_.keep_finished = 3;
  Begin();
  EXPECT_TRUE(test::WaitUntil([&] { return manager_->ListJobs(0, 100)->jobs.size() == 4; }));
  EXPECT_TRUE(IsThere("paused"));
}

TEST_F(JobDeleteTest, AJobThatIsNeededOutlivesTheLimit) {
  options_.keep_finished = 1;
  launcher_.places = 0;
  Plant("a", JOB_STATE_FAILED);
  MakeFolder(Folder("a") / "attempts/1/checkpoints/step-100");
  std::ofstream(Folder("a") / "attempts/1/checkpoints/step-100/complete") << "";
  Restart();
  v1::JobSpec spec = Spec("waits");
  spec.mutable_train()->set_init_from("job:a");
  ASSERT_TRUE(manager_->CreateJob(spec).ok());
  Plant("b", JOB_STATE_FAILED);
  Plant("c", JOB_STATE_FAILED);
  manager_->Start(launcher_);
  EXPECT_TRUE(test::WaitUntil([&] { return !IsThere("b"); }));
  EXPECT_TRUE(IsThere("a"));
  ASSERT_TRUE(manager_->CancelJob("waits").ok());
  // It is looked at again after a while.
  EXPECT_TRUE(test::WaitUntil([&] {
    clock_.Advance(absl::Minutes(1));
    return !IsThere("a");
  }));
}

}  // namespace
}  // namespace atelier::server
