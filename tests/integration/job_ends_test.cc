// What becomes of jobs that are done with, through the real programs: deleted by their owner or by
// the server, and a job that would bring the server down for ever.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/files.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr absl::Duration kLongest = absl::Minutes(5);  // for what hangs

class JobEndsTest : public ::testing::Test {
 protected:
  JobEndsTest() {
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
  }

  void Start(const std::string& config = "{}") {
    service_.reset();
    ASSERT_TRUE(WriteFileAtomically(directory_ / "server.json", config).ok());
    service_ = std::make_unique<Service>(Service::Options{
        .data_dir = directory_ / "data",
        .shipped_models = {},
        .datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}},
        .more = {"--local-workers", "0", "--config", (directory_ / "server.json").string()},
        .wrapper = {}});
  }
  void Kill() {
    service_->process().Signal(SIGKILL);
    ASSERT_TRUE(service_->process().Wait().has_value());
  }

  ProcessResult Atelier(std::vector<std::string> arguments) {
    return RunAtelier(*service_, directory_.path(), std::move(arguments), kLongest);
  }

  absl::StatusOr<v1::Job> Get(const std::string& job_id) {
    v1::GetJobRequest request;
    request.set_job_id(job_id);
    return service_->client().GetJob(request);
  }
  v1::JobState StateOf(const std::string& job_id) {
    return Get(job_id).value_or(v1::Job()).state();
  }
  [[nodiscard]] bool Becomes(const std::string& job_id, v1::JobState state) {
    return WaitUntil([&] { return StateOf(job_id) == state; }, kLongest);
  }
  fs::path Folder(const std::string& job_id) const { return directory_ / "data/jobs" / job_id; }
  [[nodiscard]] bool NothingIsLeftOfDeletedJobs() const {
    return WaitUntil([&] {
      std::error_code error;
      return fs::is_empty(directory_ / "data/jobs/.deleted", error);
    });
  }

  TempDir directory_;
  std::unique_ptr<Service> service_;
};

TEST_F(JobEndsTest, DeletedJobsLeaveTheirModelsAndNothingElse) {
  Start();
  for (const char* id : {"oil-1", "oil-2"}) {
    ASSERT_TRUE(service_->client().CreateJob(TinyJob(id, "oil", 4)).ok());
  }
  const ProcessResult early = Atelier({"jobs", "delete", "oil-2"});
  EXPECT_EQ(early.exit_code, 1);
  EXPECT_THAT(early.err, HasSubstr("only a job that has ended can be deleted"));
  ASSERT_EQ(Atelier({"jobs", "cancel", "oil-2"}).exit_code, 0);
  // At once, while the trainer's process may still be ending.
  ASSERT_TRUE(Becomes("oil-1", v1::JOB_STATE_SUCCEEDED)) << service_->process().Stderr();
  ASSERT_TRUE(Becomes("oil-2", v1::JOB_STATE_CANCELLED));
  const ProcessResult deleted = Atelier({"jobs", "delete", "oil-1", "oil-2"});
  EXPECT_EQ(deleted.exit_code, 0) << deleted.err;
  EXPECT_EQ(deleted.out, "deleted oil-1\ndeleted oil-2\n");
  EXPECT_FALSE(fs::exists(Folder("oil-1")));
  EXPECT_TRUE(NothingIsLeftOfDeletedJobs());
  EXPECT_EQ(Atelier({"jobs", "show", "oil-1"}).exit_code, 1);

  Kill();
  Start();
  EXPECT_TRUE(absl::IsNotFound(Get("oil-1").status()));
  v1::GetModelRequest model;
  model.set_model("oil@1");
  const auto made = service_->client().GetModel(model);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->job_id(), "oil-1");
  // The version names its job, so that there is no other one of this name.
  EXPECT_TRUE(
      absl::IsAlreadyExists(service_->client().CreateJob(TinyJob("oil-1", "oil", 4)).status()));
  EXPECT_TRUE(service_->client().CreateJob(TinyJob("oil-2", "oil", 4)).ok());
  EXPECT_TRUE(Becomes("oil-2", v1::JOB_STATE_SUCCEEDED));
}

TEST_F(JobEndsTest, TheServerKeepsAsManyEndedJobsAsItIsTold) {
  Start();
  const auto cancelled = [this](const std::string& id) {
    ASSERT_TRUE(service_->client().CreateJob(TinyJob(id, "oil", 1'000'000)).ok());
    ASSERT_EQ(Atelier({"jobs", "cancel", id}).exit_code, 0);
    ASSERT_TRUE(Becomes(id, v1::JOB_STATE_CANCELLED));
  };
  for (const char* id : {"a", "b", "c"}) {
    cancelled(id);
  }
  // It holds for those that are there, too.
  Start(R"({"jobs": {"keep_finished": 2}})");
  EXPECT_TRUE(WaitUntil([&] { return absl::IsNotFound(Get("a").status()); }));
  cancelled("d");
  EXPECT_TRUE(WaitUntil([&] { return absl::IsNotFound(Get("b").status()); }));
  EXPECT_TRUE(Get("c").ok());
  EXPECT_TRUE(Get("d").ok());
  EXPECT_TRUE(NothingIsLeftOfDeletedJobs());
  EXPECT_FALSE(fs::exists(Folder("a")));
}

TEST_F(JobEndsTest, AJobBeneathWhichTheServerDiesTenTimesIsFailed) {
  Start();
  v1::CreateJobRequest request = TinyJob("heavy", "oil", 1'000'000);
  request.mutable_spec()->mutable_train()->set_checkpoint_every_steps(1'000'000);
  ASSERT_TRUE(service_->client().CreateJob(request).ok());
  int deaths = 0;
  while (StateOf("heavy") != v1::JOB_STATE_FAILED && deaths < 11) {
    // Now and then in the midst of its steps; to wait for that costs the start of a trainer.
    const bool late = deaths % 4 == 0;
    ASSERT_TRUE(WaitUntil(
        [&] {
          const v1::JobState state = StateOf("heavy");
          return state == v1::JOB_STATE_RUNNING || (state == v1::JOB_STATE_STARTING && !late);
        },
        kLongest))
        << service_->process().Stderr();
    // The trainer dies with the server: it would save a checkpoint when told to end.
    service_->KillWithWorkers();
    ++deaths;
    Start();
  }
  EXPECT_EQ(deaths, 10);
  const v1::Job job = Get("heavy").value_or(v1::Job());
  EXPECT_EQ(job.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(job.reason(), HasSubstr("the server died 10 times in a row"));
  EXPECT_EQ(job.attempts(), 10u);
}

}  // namespace
}  // namespace atelier::test
