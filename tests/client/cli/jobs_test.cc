#include <gmock/gmock.h>

#include <filesystem>
#include <iterator>
#include <sstream>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "common/errors.h"
#include "common/files.h"
#include "nlohmann/json.hpp"
#include "tests/client/cli/cli_test.h"

namespace atelier::test {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

v1::JobEvent SampleEvent(std::uint64_t sequence, const std::string& image) {
  v1::JobEvent event;
  event.set_sequence(sequence);
  event.mutable_sample()->set_step(500);
  event.mutable_sample()->set_image(image);
  return event;
}

v1::JobEvent WarningEvent(std::uint64_t sequence, const std::string& message) {
  v1::JobEvent event;
  event.set_sequence(sequence);
  event.mutable_warning()->set_message(message);
  return event;
}

class JobsCliTest : public CliTest {
 protected:
  JobsCliTest() {
    server_.handlers().create_job = [this](const v1::CreateJobRequest& request) {
      const absl::MutexLock lock(&mutex_);
      created_ = request.spec();
      return JobOf(request.spec().job_id());
    };
    server_.handlers().get_job = [](const v1::GetJobRequest& request) -> absl::StatusOr<v1::Job> {
      if (request.job_id() != "oil-1") {
        return NotFoundResource("job", request.job_id(), "there is no such job");
      }
      return JobOf(request.job_id());
    };
    EndWith(v1::JOB_STATE_SUCCEEDED);
  }

  static v1::Job JobOf(const std::string& job_id) {
    v1::Job job;
    job.mutable_spec()->set_job_id(job_id);
    job.mutable_spec()->set_output_model("oil");
    job.set_state(v1::JOB_STATE_RUNNING);
    return job;
  }

  // The stream of a job that ends in `state`.
  void EndWith(v1::JobState state, const std::string& reason = "") {
    server_.handlers().watch_job = [state, reason](const v1::WatchJobRequest&, const auto& write) {
      write(StateEvent(1, v1::JOB_STATE_RUNNING));
      // 40.0 %, 40.2 % and 41 %: two lines.
      write(ProgressEvent(2, 400, 1000));
      write(ProgressEvent(3, 402, 1000));
      write(ProgressEvent(4, 410, 1000));
      write(SampleEvent(5, "older"));
      write(SampleEvent(6, "newest"));
      write(WarningEvent(7, "broken.jpg could not be read"));
      write(StateEvent(8, state, reason));
      return absl::OkStatus();
    };
  }

  v1::JobSpec Created() {
    const absl::MutexLock lock(&mutex_);
    return created_;
  }

 private:
  absl::Mutex mutex_;
  v1::JobSpec created_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(JobsCliTest, TrainSendsTheJobFileAndPrintsTheId) {
  Write("job.json", R"({"job_id": "oil-1", "outputModel": "oil",
      "train": {"family": "faststyle", "data": {"content": "c", "style": "s"}, "steps": 30}})");
  const ProcessResult result = Run({"train", "-f", "job.json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "oil-1\n");
  EXPECT_EQ(Created().output_model(), "oil");
  EXPECT_EQ(Created().train().steps(), 30u);
}

TEST_F(JobsCliTest, AnUnknownFieldOfTheJobFileIsNamed) {
  Write("job.json", R"({"job_id": "oil-1", "train": {"colour": "red"}})");
  const ProcessResult result = Run({"train", "-f", "job.json"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err,
              StartsWith("atelier: job.json: train.colour: there is no such field; there are "));
  const ProcessResult json = Run({"--output", "json", "train", "-f", "job.json"});
  EXPECT_EQ(json.exit_code, 1);
  const nlohmann::json error = nlohmann::json::parse(json.out).at("error");
  EXPECT_EQ(error.at("code"), "INVALID_ARGUMENT");
  EXPECT_EQ("atelier: " + error.at("message").get<std::string>() + "\n", result.err);
  EXPECT_EQ(Created().job_id(), "");
}

TEST_F(JobsCliTest, AJobFileThatIsNotJsonOrNotThereIsAPlainError) {
  Write("job.json", "job_id: oil");
  EXPECT_THAT(Run({"train", "-f", "job.json"}).err, HasSubstr("job.json: not valid JSON"));
  const ProcessResult missing = Run({"train", "-f", "none.json"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("no such file"));
}

TEST_F(JobsCliTest, TrainWatchKeepsTheOutputStreamForTheId) {
  Write("job.json", R"({"job_id": "oil-1"})");
  const ProcessResult result = Run({"train", "-f", "job.json", "--watch"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "oil-1\n");
  EXPECT_THAT(result.err, AllOf(HasSubstr("RUNNING\n"), HasSubstr("SUCCEEDED\n")));
}

TEST_F(JobsCliTest, WatchPrintsALineWheneverThePercentChanges) {
  const ProcessResult result = Run({"jobs", "watch", "oil-1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("40%  step 400/1000  epoch 0  5.25 images/s  ETA 4 min 05 s  "
                              "total 1.5\n"),
                    Not(HasSubstr("402/1000")), HasSubstr("41%  step 410/1000"),
                    HasSubstr("warning: broken.jpg could not be read\n")));
  EXPECT_EQ(result.err, "");
}

TEST_F(JobsCliTest, WatchSavesTheNewestSample) {
  const ProcessResult result = Run({"jobs", "watch", "oil-1", "--samples", "samples"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("sample of step 500: samples/oil-1-sample.jpg\n"));
  EXPECT_EQ(Read("samples/oil-1-sample.jpg"), "newest");
}

TEST_F(JobsCliTest, WithoutSamplesTheNewestOneIsInAFolderNobodyElseCanGuessOrRead) {
  const ProcessResult result = Run({"jobs", "watch", "oil-1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    folders.push_back(entry.path());
  }
  ASSERT_EQ(folders.size(), 1u);
  EXPECT_EQ(std::filesystem::status(folders[0]).permissions(), std::filesystem::perms::owner_all);
  const std::string sample = (folders[0] / "oil-1-sample.jpg").string();
  EXPECT_THAT(result.out, HasSubstr("sample of step 500: " + sample + "\n"));
  EXPECT_EQ(ReadFile(sample, 100).value_or(""), "newest");
  Run({"jobs", "watch", "oil-1"});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 2)
      << "each watch has its own";
}

TEST_F(JobsCliTest, WatchAsJsonIsOneEventALine) {
  const ProcessResult result = Run({"jobs", "watch", "oil-1", "--output", "json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::istringstream lines(result.out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_EQ(nlohmann::json::parse(line)["sequence"], std::to_string(count + 1));
  }
  EXPECT_EQ(count, 8);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(JobsCliTest, AJobThatFailsOrIsCancelledIsExitCodeOne) {
  EndWith(v1::JOB_STATE_FAILED, "the data set \"c\" is empty");
  const ProcessResult failed = Run({"jobs", "watch", "oil-1"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(failed.err, "atelier: the job \"oil-1\" ended FAILED: the data set \"c\" is empty\n");
  EXPECT_THAT(failed.out, EndsWith("\nFAILED\n")) << "the reason is told once";
}

TEST_F(JobsCliTest, ACancelledJobIsExitCodeOne) {
  EndWith(v1::JOB_STATE_CANCELLED);
  const ProcessResult result = Run({"jobs", "watch", "oil-1"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "atelier: the job \"oil-1\" ended CANCELLED\n");
}

TEST_F(JobsCliTest, AnUnknownJobIsAPlainSentence) {
  for (const char* command : {"show", "watch"}) {
    const ProcessResult result = Run({"jobs", command, "other"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.err, "atelier: there is no such job\n");
  }
}

TEST_F(JobsCliTest, ListShowsStateAndReason) {
  server_.handlers().list_jobs = [](const v1::ListJobsRequest&) {
    v1::ListJobsResponse response;
    v1::Job& job = *response.add_jobs();
    job = JobOf("oil-1");
    job.set_state(v1::JOB_STATE_FAILED);
    job.set_reason("the disk is full");
    job.mutable_progress()->set_percent(41.7);
    job.mutable_create_time()->set_seconds(1'700'000'000);
    return response;
  };
  const ProcessResult text = Run({"jobs", "list"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(
      text.out,
      HasSubstr("oil-1  FAILED  normal    41%   oil    2023-11-14 22:13:20  the disk is full\n"));
  const ProcessResult json = Run({"jobs", "list", "--output", "json"});
  EXPECT_EQ(nlohmann::json::parse(json.out)["jobs"][0]["spec"]["job_id"], "oil-1");
}

TEST_F(JobsCliTest, ACompressionIsComparedSideBySide) {
  v1::JobEvent progress = ProgressEvent(2, 1000, 1000);
  auto& metrics = *progress.mutable_progress()->mutable_metrics();
  metrics["before/size_bytes"] = 8 << 20;
  metrics["after/size_bytes"] = 1 << 20;
  metrics["before/content_similarity"] = 0.5;
  metrics["after/content_similarity"] = 0.25;
  metrics["to_source/ssim"] = 0.75;
  server_.handlers().watch_job = [progress](const v1::WatchJobRequest&, const auto& write) {
    write(progress);
    write(StateEvent(3, v1::JOB_STATE_SUCCEEDED));
    return absl::OkStatus();
  };
  server_.handlers().get_job = [progress](const v1::GetJobRequest& request) {
    v1::Job job = JobOf(request.job_id());
    job.mutable_spec()->mutable_prune()->set_model("oil@3");
    *job.mutable_progress() = progress.progress();
    return job;
  };
  const std::string table =
      "                    BEFORE   AFTER\n"
      "content similarity  0.5      0.25\n"
      "size                8.0 MiB  1.0 MiB\n"
      "ssim of the two              0.75\n";
  const ProcessResult watched = Run({"jobs", "watch", "oil-1"});
  EXPECT_EQ(watched.exit_code, 0) << watched.err;
  EXPECT_THAT(watched.out, AllOf(HasSubstr(table), Not(HasSubstr("before/"))));
  EXPECT_THAT(Run({"jobs", "show", "oil-1"}).out,
              AllOf(HasSubstr("prune oil@3"), HasSubstr(table), Not(HasSubstr("before/"))));
}

TEST_F(JobsCliTest, ShowSortsItsNumbersAndLeavesNoBlankBehindTheFamily) {
  server_.handlers().get_job = [](const v1::GetJobRequest& request) {
    v1::Job job = JobOf(request.job_id());
    job.mutable_spec()->mutable_train()->set_family("faststyle");
    for (const char* name : {"total", "style", "adversarial", "content", "palette"}) {
      (*job.mutable_progress()->mutable_losses())[name] = 0.5;
      (*job.mutable_progress()->mutable_metrics())["m_" + std::string(name)] = 0.25;
    }
    return job;
  };
  const std::string text = Run({"jobs", "show", "oil-1"}).out;
  EXPECT_THAT(text, ContainsRegex("train faststyle\n"));
  std::size_t last = 0;
  for (const char* row :
       {"loss adversarial", "loss content", "loss palette", "loss style", "loss total",
        "m_adversarial", "m_content", "m_palette", "m_style", "m_total"}) {
    const std::size_t at = text.find("\n" + std::string(row));
    ASSERT_NE(at, std::string::npos) << row << "\n" << text;
    EXPECT_GT(at, last) << row;
    last = at;
  }
}

TEST_F(JobsCliTest, PauseAndResumeTellTheNewState) {
  server_.handlers().pause_job = [](const v1::PauseJobRequest& request) -> absl::StatusOr<v1::Job> {
    if (request.job_id() != "oil-1") {
      return absl::FailedPreconditionError("the job has succeeded already");
    }
    v1::Job job = JobOf(request.job_id());
    job.set_state(v1::JOB_STATE_PAUSING);
    return job;
  };
  server_.handlers().resume_job = [](const v1::ResumeJobRequest& request) {
    v1::Job job = JobOf(request.job_id());
    job.set_state(v1::JOB_STATE_QUEUED);
    return job;
  };
  const ProcessResult paused = Run({"jobs", "pause", "oil-1"});
  EXPECT_EQ(paused.exit_code, 0) << paused.err;
  EXPECT_THAT(paused.out, HasSubstr("PAUSING\n"));
  const ProcessResult resumed = Run({"--output", "json", "jobs", "resume", "oil-1"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(nlohmann::json::parse(resumed.out).at("state"), "JOB_STATE_QUEUED");
  const ProcessResult refused = Run({"jobs", "pause", "oil-2"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("the job has succeeded already"));
  EXPECT_EQ(Run({"jobs", "resume"}).exit_code, 2);
}

TEST_F(JobsCliTest, APriorityIsSentAndShown) {
  Write("job.json", R"({"job_id": "oil-1", "output_model": "oil", "priority": "PRIORITY_HIGH",
      "train": {"family": "faststyle", "data": {"content": "c", "style": "s"}, "steps": 30}})");
  EXPECT_EQ(Run({"train", "-f", "job.json"}).exit_code, 0);
  EXPECT_EQ(Created().priority(), v1::PRIORITY_HIGH);
  server_.handlers().list_jobs = [](const v1::ListJobsRequest&) {
    v1::ListJobsResponse response;
    *response.add_jobs() = JobOf("usual");
    *response.add_jobs() = JobOf("patient");
    response.mutable_jobs(1)->mutable_spec()->set_priority(v1::PRIORITY_LOW);
    return response;
  };
  const std::string list = Run({"jobs", "list"}).out;
  EXPECT_THAT(list, ContainsRegex("usual +RUNNING +normal"));
  EXPECT_THAT(list, ContainsRegex("patient +RUNNING +low"));
  EXPECT_THAT(Run({"jobs", "show", "oil-1"}).out, ContainsRegex("priority: +normal"));
}

TEST_F(JobsCliTest, DeleteGoesOnAfterAJobThatCannotBeAndWaitsForOneThatEnds) {
  int tries = 0;
  server_.handlers().delete_job =
      [&](const v1::DeleteJobRequest& request) -> absl::StatusOr<v1::DeleteJobResponse> {
    if (request.job_id() == "oil-2") {
      return absl::FailedPreconditionError("the job is running");
    }
    if (request.job_id() == "oil-3" && ++tries == 1) {
      return RetryLater(absl::Milliseconds(10), "the job's trainer is just ending");
    }
    return v1::DeleteJobResponse();
  };
  const ProcessResult result = Run({"jobs", "delete", "oil-1", "oil-2", "oil-3"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "deleted oil-1\ndeleted oil-3\n");
  EXPECT_THAT(result.err, HasSubstr("the job is running"));
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(Run({"jobs", "delete", "oil-1"}).exit_code, 0);
  EXPECT_EQ(Run({"--output", "json", "jobs", "delete", "oil-1"}).out, "{}\n");
  EXPECT_EQ(Run({"jobs", "delete"}).exit_code, 2);
}

TEST_F(JobsCliTest, CancelTellsTheNewState) {
  server_.handlers().cancel_job = [](const v1::CancelJobRequest& request) {
    v1::Job job = JobOf(request.job_id());
    job.set_state(v1::JOB_STATE_CANCELLING);
    return job;
  };
  const ProcessResult result = Run({"jobs", "cancel", "oil-1"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("CANCELLING\n"));
}

}  // namespace
}  // namespace atelier::test
