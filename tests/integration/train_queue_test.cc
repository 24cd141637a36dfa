// Several jobs and the real programs: pausing, priorities, trainers side by side.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/job_calls.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

using ::testing::HasSubstr;

// More steps than any of these tests waits for.
constexpr std::uint64_t kEndlessSteps = 100'000;
// Enough that a job is still at work after its first checkpoint (step 5), few enough to end soon.
constexpr std::uint64_t kFewSteps = 60;

class TrainQueueTest : public ::testing::Test {
 protected:
  TrainQueueTest() {
    options_.data_dir = directory_ / "data";
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
    options_.datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}};
  }

  static bool JobBecomes(Service& service, const std::string& job_id, v1::JobState state) {
    return WaitUntil([&] { return GetJob(service, job_id).state() == state; }, absl::Minutes(10));
  }

  static void CreateJob(Service& service, const std::string& job_id, std::uint64_t steps,
                        v1::Priority priority = v1::PRIORITY_UNSPECIFIED) {
    v1::CreateJobRequest request = TinyJob(job_id, job_id, steps);
    request.mutable_spec()->set_priority(priority);
    const auto job = service.client().CreateJob(request);
    EXPECT_TRUE(job.ok()) << job.status();
  }

  static v1::Job PauseJob(Service& service, const std::string& job_id) {
    v1::PauseJobRequest request;
    request.set_job_id(job_id);
    const auto job = service.client().PauseJob(request);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.value_or(v1::Job());
  }

  static absl::StatusOr<v1::Job> ResumeJob(Service& service, const std::string& job_id) {
    v1::ResumeJobRequest request;
    request.set_job_id(job_id);
    return service.client().ResumeJob(request);
  }

  static void CancelJob(Service& service, const std::string& job_id) {
    v1::CancelJobRequest request;
    request.set_job_id(job_id);
    EXPECT_TRUE(service.client().CancelJob(request).ok());
  }

  static absl::Time StartOf(const v1::Job& job) {
    return absl::FromUnixSeconds(job.start_time().seconds()) +
           absl::Nanoseconds(job.start_time().nanos());
  }

  // How many trainers the server runs now.
  static int Trainers(Service& service) {
    int trainers = 0;
    for (const pid_t child : ChildrenOf(service.process().pid())) {
      trainers += CommandLineOf(child).find("--role train") != std::string::npos ? 1 : 0;
    }
    return trainers;
  }

  TempDir directory_;
  Service::Options options_;
};

TEST_F(TrainQueueTest, APausedJobGoesOnWhereItStoppedEvenAfterAKilledServer) {
  auto service = std::make_unique<Service>(options_);
  CreateJob(*service, "paused", kFewSteps);
  AwaitCheckpoint(*service, "paused");
  PauseJob(*service, "paused");
  ASSERT_TRUE(JobBecomes(*service, "paused", v1::JOB_STATE_PAUSED)) << service->process().Stderr();
  EXPECT_TRUE(WaitUntil([&] { return Trainers(*service) == 0; }));
  EXPECT_TRUE(WaitUntil([&] { return service->Metric("atelier_jobs{state=\"paused\"}") == 1; }));

  service->process().Signal(SIGKILL);
  EXPECT_TRUE(service->process().Wait().has_value());
  service = std::make_unique<Service>(options_);
  EXPECT_EQ(GetJob(*service, "paused").state(), v1::JOB_STATE_PAUSED);
  ASSERT_TRUE(ResumeJob(*service, "paused").ok());
  std::uint32_t attempt = 0;
  std::uint64_t saved = 0;
  std::uint64_t resumed = 0;
  for (const v1::JobEvent& event : Watch(*service, "paused")) {
    attempt = event.has_state() ? event.state().attempt() : attempt;
    if (event.has_checkpoint() && attempt == 1) {
      saved = event.checkpoint().step();
    } else if (event.has_progress() && attempt == 2 && resumed == 0) {
      resumed = event.progress().step();
    }
  }
  const v1::Job job = GetJob(*service, "paused");
  EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.attempts(), 2u);
  EXPECT_EQ(job.progress().step(), kFewSteps);
  EXPECT_GT(saved, 0u);
  EXPECT_GT(resumed, saved);
  EXPECT_EQ(job.warnings_size(), 0);
}

TEST_F(TrainQueueTest, ATrainerThatHangsIsKilledWhenItsJobIsPausedAndCancelled) {
  Service service(options_);
  CreateJob(service, "hangs", kEndlessSteps);
  AwaitCheckpoint(service, "hangs");
  kill(service.AwaitWorker(WorkerKind::kTrain), SIGSTOP);
  EXPECT_EQ(PauseJob(service, "hangs").state(), v1::JOB_STATE_PAUSING);
  // A pause may take a minute; whoever does not want to wait cancels.
  const absl::Time asked = absl::Now();
  CancelJob(service, "hangs");
  ASSERT_TRUE(JobBecomes(service, "hangs", v1::JOB_STATE_CANCELLED));
  EXPECT_LE(absl::Now() - asked, absl::Seconds(10));
}

TEST_F(TrainQueueTest, AHigherJobTakesThePlaceOfALowerOneThatGoesOnFromItsCheckpoint) {
  Service service(options_);
  CreateJob(service, "low", kFewSteps, v1::PRIORITY_LOW);
  AwaitCheckpoint(service, "low");
  CreateJob(service, "high", 2, v1::PRIORITY_HIGH);
  EXPECT_EQ(Watch(service, "high").back().state().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_NE(GetJob(service, "low").state(), v1::JOB_STATE_SUCCEEDED) << "it was in the way";
  const std::vector<v1::JobEvent> events = Watch(service, "low");
  EXPECT_EQ(events.back().state().state(), v1::JOB_STATE_SUCCEEDED)
      << events.back().state().reason() << service.process().Stderr();
  std::vector<std::string> takers;
  std::uint64_t saved = 0;
  for (const v1::JobEvent& event : events) {
    if (takers.empty() && event.has_checkpoint()) {
      saved = event.checkpoint().step();
    }
    if (!event.state().replaced_by().empty()) {
      takers.push_back(event.state().replaced_by());
      EXPECT_THAT(event.state().reason(), HasSubstr("going on from step " + std::to_string(saved)));
    }
  }
  EXPECT_THAT(takers, ::testing::ElementsAre("high"));
  EXPECT_EQ(GetJob(service, "low").attempts(), 2u);
  EXPECT_EQ(GetJob(service, "low").warnings_size(), 0);
}

TEST_F(TrainQueueTest, TwoJobsTrainSideBySideAndServingGoesOn) {
  options_.shipped_models = MakeShippedModels(directory_ / "models");
  options_.more = {"--trainers", "2", "--trainer-threads", "1"};
  Service service(options_);
  CreateJob(service, "one", kEndlessSteps);
  CreateJob(service, "two", kEndlessSteps);
  AwaitCheckpoint(service, "one");
  AwaitCheckpoint(service, "two");
  EXPECT_EQ(GetJob(service, "one").state(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(GetJob(service, "two").state(), v1::JOB_STATE_RUNNING);
  EXPECT_EQ(Trainers(service), 2);
  EXPECT_TRUE(WaitUntil([&] { return service.Metric("atelier_jobs{state=\"running\"}") == 2; }));
  EXPECT_TRUE(service.client().Stylize(StylizeRequestFor("random", MakePicture(64, 64, 1))).ok());
  CancelJob(service, "one");
  CancelJob(service, "two");
  EXPECT_TRUE(JobBecomes(service, "one", v1::JOB_STATE_CANCELLED));
  EXPECT_TRUE(JobBecomes(service, "two", v1::JOB_STATE_CANCELLED));
}

TEST_F(TrainQueueTest, OfAHundredJobsTheHigherRunFirstAndNoneIsLost) {
  Service service(options_);
  // Nothing may start before all wait: this one holds the place and is higher than none of them.
  CreateJob(service, "first", kEndlessSteps, v1::PRIORITY_HIGH);
  ASSERT_TRUE(JobBecomes(service, "first", v1::JOB_STATE_RUNNING));
  std::vector<std::string> high;
  std::vector<std::string> normal;
  std::vector<std::string> low;
  for (int i = 0; i < 100; ++i) {
    const std::string id = "job-" + std::to_string(i);
    const int place = i % 25;
    const v1::Priority level = place == 24   ? v1::PRIORITY_HIGH
                               : place == 12 ? v1::PRIORITY_NORMAL
                                             : v1::PRIORITY_LOW;
    CreateJob(service, id, 1, level);
    (place == 24 ? high : place == 12 ? normal : low).push_back(id);
  }
  // The gauges follow the store within a turn of the runner.
  EXPECT_TRUE(WaitUntil([&] { return service.Metric("atelier_jobs{state=\"queued\"}") == 100; }));
  CancelJob(service, "first");

  // Each takes a process of its own some seconds: the first dozen tells the order.
  std::vector<std::string> order = high;
  order.insert(order.end(), normal.begin(), normal.end());
  order.insert(order.end(), low.begin(), low.begin() + 4);
  std::vector<v1::Job> jobs;
  for (const std::string& id : order) {
    ASSERT_TRUE(JobBecomes(service, id, v1::JOB_STATE_SUCCEEDED))
        << id << service.process().Stderr();
    jobs.push_back(GetJob(service, id));
    EXPECT_EQ(jobs.back().attempts(), 1u) << id;
  }
  EXPECT_TRUE(std::ranges::is_sorted(
      jobs, [](const v1::Job& a, const v1::Job& b) { return StartOf(a) < StartOf(b); }));
  // From behind, so that none of them begins meanwhile but the one or two that are next.
  for (std::size_t i = low.size(); i > 4; --i) {
    v1::CancelJobRequest request;
    request.set_job_id(low[i - 1]);
    const absl::Status cancelled = service.client().CancelJob(request).status();
    EXPECT_TRUE(cancelled.ok() || absl::IsFailedPrecondition(cancelled)) << cancelled;
  }
  EXPECT_TRUE(WaitUntil([&] {
    return service.Metric("atelier_jobs{state=\"succeeded\"}").value_or(0) +
               service.Metric("atelier_jobs{state=\"cancelled\"}").value_or(0) ==
           101;
  }));
}

TEST_F(TrainQueueTest, AJobWhoseDataSetIsGoneIsNotResumed) {
  std::filesystem::create_directories(directory_ / "data" / "datasets");
  MakeDataset(directory_ / "data" / "datasets" / "gone", 3, 200);
  Service service(options_);
  CreateJob(service, "first", kEndlessSteps);
  v1::CreateJobRequest request = TinyJob("homeless", "homeless", 1);
  request.mutable_spec()->mutable_train()->mutable_data()->set_style("gone");
  ASSERT_TRUE(service.client().CreateJob(request).ok());
  EXPECT_EQ(PauseJob(service, "homeless").state(), v1::JOB_STATE_PAUSED) << "it waits its turn";
  std::filesystem::remove_all(directory_ / "data" / "datasets" / "gone");
  const absl::Status status = ResumeJob(service, "homeless").status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("gone"));
  EXPECT_EQ(GetJob(service, "homeless").state(), v1::JOB_STATE_PAUSED);
  CancelJob(service, "homeless");
  CancelJob(service, "first");
  EXPECT_EQ(GetJob(service, "homeless").state(), v1::JOB_STATE_CANCELLED);
}

}  // namespace
}  // namespace atelier::test
