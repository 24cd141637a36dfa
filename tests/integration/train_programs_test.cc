// Training through the real programs: to its end, through crashes, restarts and bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "common/errors.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/integration/train_fixture.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

using ::testing::HasSubstr;

TEST_F(TrainProgramsTest, AJobIsWatchedToItsEndAndItsModelStylizes) {
  Service service(options_);
  const v1::CreateJobRequest request = TinyJob("tiny-1", "tiny", 30);
  Create(service, request);
  Create(service, request);  // the same again is no second job

  const std::vector<v1::JobEvent> events = Watch(service, "tiny-1");
  ASSERT_FALSE(events.empty());
  bool sample = false;
  bool checkpoint = false;
  std::uint64_t last_step = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].sequence(), i + 1);
    sample |= events[i].has_sample() && !events[i].sample().image().empty();
    checkpoint |= events[i].has_checkpoint();
    if (events[i].has_progress()) {
      EXPECT_GE(events[i].progress().step(), last_step);
      EXPECT_FALSE(events[i].progress().losses().empty());
      last_step = events[i].progress().step();
    }
  }
  EXPECT_TRUE(sample);
  EXPECT_TRUE(checkpoint);
  EXPECT_EQ(last_step, 30);
  EXPECT_EQ(events.back().state().state(), v1::JOB_STATE_SUCCEEDED)
      << events.back().state().reason() << service.process().Stderr();

  const v1::Job job = GetJob(service, "tiny-1");
  EXPECT_EQ(job.attempts(), 1);
  EXPECT_EQ(job.output_version(), 1);
  ExpectStylizes(service, "tiny");
  EXPECT_TRUE(WaitUntil([&] { return !service.Worker(WorkerKind::kTrain).has_value(); }));
}

TEST_F(TrainProgramsTest, AKilledTrainerResumesFromItsCheckpoint) {
  Service service(options_);
  Create(service, TinyJob("killed", "tiny", kLongSteps));
  AwaitCheckpoint(service, "killed");
  kill(service.AwaitWorker(WorkerKind::kTrain), SIGKILL);
  ExpectResumed(service, "killed");
  ExpectStylizes(service, "tiny");
}

TEST_F(TrainProgramsTest, AKilledServerTakesItsJobUpAgain) {
  auto service = std::make_unique<Service>(options_);
  Create(*service, TinyJob("crash", "tiny", kLongSteps));
  AwaitCheckpoint(*service, "crash");
  service->process().Signal(SIGKILL);
  EXPECT_TRUE(service->process().Wait().has_value());
  service = std::make_unique<Service>(options_);
  ExpectResumed(*service, "crash");
  ExpectStylizes(*service, "tiny");
}

TEST_F(TrainProgramsTest, AServerThatIsToldToStopGoesOnWithItsJobLater) {
  auto service = std::make_unique<Service>(options_);
  Create(*service, TinyJob("stopped", "tiny", kLongSteps));
  AwaitCheckpoint(*service, "stopped");
  service->process().Signal(SIGTERM);
  EXPECT_EQ(service->process().Wait(absl::Seconds(90)), 0) << service->process().Stderr();
  service = std::make_unique<Service>(options_);
  ExpectResumed(*service, "stopped");
}

TEST_F(TrainProgramsTest, ACancelledJobEndsWithinTenSecondsAndKeepsItsLastCheckpoint) {
  Service service(options_);
  Create(service, TinyJob("cancelled", "tiny", 100'000));
  AwaitCheckpoint(service, "cancelled");
  v1::CancelJobRequest cancel;
  cancel.set_job_id("cancelled");
  EXPECT_TRUE(service.client().CancelJob(cancel).ok());
  const std::vector<v1::JobEvent> events = Watch(service, "cancelled");
  ASSERT_GE(events.size(), 2);
  EXPECT_EQ(events.back().state().state(), v1::JOB_STATE_CANCELLED);
  absl::Time asked = absl::InfinitePast();
  for (const v1::JobEvent& event : events) {
    asked = event.state().state() == v1::JOB_STATE_CANCELLING ? TimeOf(event) : asked;
  }
  // The promise of the proto, by the server's clock: how fast this test reads is not part of it.
  EXPECT_LE(TimeOf(events.back()) - asked, absl::Seconds(10));

  // What it had learnt by then is kept, and can be made a model.
  std::uint64_t saved = 0;
  for (const v1::JobEvent& event : events) {
    saved = event.has_checkpoint() ? event.checkpoint().step() : saved;
  }
  v1::PublishCheckpointRequest publish;
  publish.set_job_id("cancelled");
  publish.set_model("kept");
  const auto kept = service.client().PublishCheckpoint(publish);
  ASSERT_TRUE(kept.ok()) << kept.status() << service.process().Stderr();
  EXPECT_GE(kept->step(), std::max<std::uint64_t>(saved, 1));
  EXPECT_EQ(kept->model().job_step(), kept->step());
  ExpectStylizes(service, "kept");
}

TEST_F(TrainProgramsTest, MetricsShowARunningJobAndForgetItWhenItEnds) {
  Service service(options_);
  Create(service, TinyJob("shown", "tiny", 100'000));
  AwaitCheckpoint(service, "shown");
  EXPECT_TRUE(WaitUntil(
      [&] { return service.Metric("atelier_jobs{state=\"running\"}").value_or(0) == 1; }));
  const v1::Job job = GetJob(service, "shown");
  ASSERT_FALSE(job.progress().losses().empty());
  for (const auto& [name, value] : job.progress().losses()) {
    const auto loss =
        service.Metric(R"(atelier_training_loss{job="shown",loss=")" + name + R"("})");
    EXPECT_TRUE(loss.has_value()) << name;
  }
  EXPECT_GT(service.Metric("atelier_training_images_per_second{job=\"shown\"}").value_or(0), 0);

  v1::CancelJobRequest cancel;
  cancel.set_job_id("shown");
  EXPECT_TRUE(service.client().CancelJob(cancel).ok());
  Watch(service, "shown");
  EXPECT_TRUE(WaitUntil(
      [&] { return service.Metric("atelier_jobs{state=\"cancelled\"}").value_or(0) == 1; }));
  EXPECT_TRUE(WaitUntil([&] { return !service.Metric("atelier_training_").has_value(); }));
}

TEST_F(TrainProgramsTest, AnUnreadableFileAmongGoodOnesIsSkippedCountedAndNamed) {
  std::ofstream(directory_ / "content" / "broken.jpg", std::ios::binary)
      << MakePicture(96, 80, 50).substr(0, 700);
  std::ofstream(directory_ / "content" / "text.png") << "not a picture";
  Service service(options_);
  v1::CreateJobRequest request = TinyJob("holes", "tiny", 30);
  request.mutable_spec()->mutable_train()->mutable_data()->set_style("content");
  Create(service, request);
  EXPECT_EQ(Watch(service, "holes").back().state().state(), v1::JOB_STATE_SUCCEEDED);
  const v1::Job job = GetJob(service, "holes");
  std::string warnings;
  for (const std::string& warning : job.warnings()) {
    warnings += warning + "\n";
  }
  EXPECT_THAT(warnings, HasSubstr("broken.jpg"));
  EXPECT_THAT(warnings, HasSubstr("text.png"));
  EXPECT_THAT(warnings, ::testing::Not(HasSubstr(directory_.path().string())));
  EXPECT_EQ(job.warnings_size(), 3) << "a set in both roles is told once: two files, one sum";
}

TEST_F(TrainProgramsTest, BadJobsGetTheirCodeAndField) {
  Service service(options_);
  const auto status_of = [&](auto spoil) {
    v1::CreateJobRequest request = TinyJob("bad", "tiny", 30);
    spoil(*request.mutable_spec());
    return service.client().CreateJob(request).status();
  };
  absl::Status status =
      status_of([](v1::JobSpec& spec) { spec.mutable_train()->set_family("cubism"); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_EQ(FieldOf(status), "train.family");
  status = status_of(
      [](v1::JobSpec& spec) { spec.mutable_train()->mutable_data()->set_content("empty"); });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  status = status_of(
      [](v1::JobSpec& spec) { spec.mutable_train()->mutable_data()->set_style("nowhere"); });
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  status = status_of([](v1::JobSpec& spec) { spec.set_job_id("Not A Name"); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  status = status_of([](v1::JobSpec& spec) { spec.mutable_train()->set_steps(0); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  status = status_of([](v1::JobSpec& spec) { spec.clear_train(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;

  Create(service, TinyJob("once", "tiny", 30));
  EXPECT_EQ(service.client().CreateJob(TinyJob("once", "tiny", 31)).status().code(),
            absl::StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace atelier::test
