// Training through the real programs: to its end, through crashes, restarts and bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/errors.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// Enough steps that a test can strike in the middle, few enough to finish soon.
constexpr std::uint64_t kLongSteps = 100;

class TrainProgramsTest : public ::testing::Test {
 protected:
  TrainProgramsTest() {
    options_.data_dir = directory_ / "data";
    MakeDataset(directory_ / "content", 6, 1);
    MakeDataset(directory_ / "style", 3, 100);
    std::filesystem::create_directories(directory_ / "empty");
    options_.datasets = {{"content", directory_ / "content"},
                         {"style", directory_ / "style"},
                         {"empty", directory_ / "empty"}};
  }

  // All events of a job up to its final state.
  static std::vector<v1::JobEvent> Watch(Service& service, const std::string& job_id) {
    std::vector<v1::JobEvent> events;
    v1::WatchJobRequest request;
    request.set_job_id(job_id);
    const absl::Status status = service.client().WatchJob(request, [&](const v1::JobEvent& event) {
      events.push_back(event);
      return true;
    });
    EXPECT_TRUE(status.ok()) << status << service.process().Stderr();
    return events;
  }

  static absl::Time TimeOf(const v1::JobEvent& event) {
    return absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
  }

  static v1::Job Get(Service& service, const std::string& job_id) {
    v1::GetJobRequest request;
    request.set_job_id(job_id);
    const auto job = service.client().GetJob(request);
    return job.ok() ? *job : v1::Job();
  }

  static void Create(Service& service, const v1::CreateJobRequest& request) {
    const auto job = service.client().CreateJob(request);
    EXPECT_TRUE(job.ok()) << job.status();
  }

  // Waits until the job has a whole checkpoint and is in the middle of its work.
  static void AwaitCheckpoint(Service& service, const std::string& job_id) {
    bool seen = false;
    v1::WatchJobRequest request;
    request.set_job_id(job_id);
    service.client()
        .WatchJob(request,
                  [&](const v1::JobEvent& event) {
                    seen = event.has_checkpoint();
                    return !seen;
                  })
        .IgnoreError();
    EXPECT_TRUE(seen) << "no checkpoint before the end. " << service.process().Stderr();
  }

  // After a second attempt the job must have gone on behind a checkpoint, not from the beginning.
  static void ExpectResumed(Service& service, const std::string& job_id) {
    const std::vector<v1::JobEvent> events = Watch(service, job_id);
    const v1::Job job = Get(service, job_id);
    EXPECT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.reason() << service.process().Stderr();
    EXPECT_GE(job.attempts(), 2);
    EXPECT_EQ(job.progress().step(), kLongSteps);
    std::uint64_t checkpoint = 0;
    std::optional<std::uint64_t> first_step_after;
    for (const v1::JobEvent& event : events) {
      if (event.has_checkpoint() && !first_step_after.has_value()) {
        checkpoint = event.checkpoint().step();
      }
      const bool again = event.has_state() && event.state().state() == v1::JOB_STATE_RUNNING &&
                         event.state().attempt() > 1;
      if (again) {
        first_step_after = 0;
      } else if (first_step_after == 0 && event.has_progress()) {
        first_step_after = event.progress().step();
      }
    }
    ASSERT_TRUE(first_step_after.has_value()) << "it was never RUNNING again";
    EXPECT_GE(*first_step_after, checkpoint);
    EXPECT_GT(checkpoint, 0);
  }

  static void ExpectStylizes(Service& service, const std::string& model) {
    const auto response =
        service.client().Stylize(StylizeRequestFor(model, MakePicture(120, 90, 7)));
    ASSERT_TRUE(response.ok()) << response.status() << service.process().Stderr();
    EXPECT_EQ(response->results(0).width(), 120);
    EXPECT_EQ(response->model(), model);
  }

  TempDir directory_;
  Service::Options options_;
};

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

  const v1::Job job = Get(service, "tiny-1");
  EXPECT_EQ(job.attempts(), 1);
  EXPECT_EQ(job.output_version(), 1);
  ExpectStylizes(service, "tiny");
  EXPECT_TRUE(WaitUntil([&] { return !service.Worker(WorkerKind::kTrain).has_value(); }));
}

// From a model to a smaller one of it, which is served in turn.
TEST_F(TrainProgramsTest, AModelIsDistilledOrQuantizedMeasuredAndServed) {
  Service service(options_);
  Create(service, TinyJob("large-1", "large", 2));
  EXPECT_EQ(Watch(service, "large-1").back().state().state(), v1::JOB_STATE_SUCCEEDED);
  v1::CreateJobRequest request;
  request.mutable_spec()->set_job_id("small-1");
  request.mutable_spec()->set_output_model("small");
  v1::DistilSpec& distil = *request.mutable_spec()->mutable_distil();
  distil.set_model("large@1");
  distil.mutable_data()->set_content("content");
  distil.set_steps(2);
  distil.set_image_size(64);
  distil.set_batch_size(1);
  distil.set_precision(v1::PRECISION_FP32);
  Create(service, request);
  EXPECT_EQ(Watch(service, "small-1").back().state().state(), v1::JOB_STATE_SUCCEEDED);
  const v1::Job job = Get(service, "small-1");
  for (const char* name : {"before/milliseconds", "after/milliseconds", "after/size_bytes",
                           "after/content_similarity", "to_source/ssim"}) {
    EXPECT_TRUE(job.progress().metrics().contains(name)) << name << " " << job.DebugString();
  }
  ExpectStylizes(service, "small");

  v1::CreateJobRequest quantize = TinyJob("base-1", "base", 2);
  quantize.mutable_spec()->mutable_train()->set_tier("base");
  Create(service, quantize);
  EXPECT_EQ(Watch(service, "base-1").back().state().state(), v1::JOB_STATE_SUCCEEDED);
  quantize.mutable_spec()->set_job_id("base-2");
  quantize.mutable_spec()->set_output_model("base-int8");
  quantize.mutable_spec()->mutable_quantize()->set_model("base@1");
  quantize.mutable_spec()->mutable_quantize()->mutable_data()->set_content("content");
  quantize.mutable_spec()->mutable_quantize()->set_pictures(2);
  quantize.mutable_spec()->mutable_quantize()->set_image_size(64);
  Create(service, quantize);
  EXPECT_EQ(Watch(service, "base-2").back().state().state(), v1::JOB_STATE_SUCCEEDED)
      << Get(service, "base-2").DebugString();
  ExpectStylizes(service, "base-int8");

  request.mutable_spec()->set_job_id("small-2");
  distil.set_model("large@7");
  EXPECT_TRUE(absl::IsNotFound(service.client().CreateJob(request).status()));
  distil.set_model("large");
  EXPECT_EQ(FieldOf(service.client().CreateJob(request).status()), "distil.model");
}

// The families whose style comes with the request, from the job to the picture.
TEST_F(TrainProgramsTest, StylesThatAreChosenLateAreServed) {
  MakeDataset(directory_ / "styles" / "bold", 2, 200);
  MakeDataset(directory_ / "styles" / "calm", 2, 300);
  options_.datasets.emplace_back("styles", directory_ / "styles");
  Service service(options_);
  for (const char* family : {"multistyle", "reference", "gatys"}) {
    v1::CreateJobRequest request = TinyJob(family, family, 3);
    v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
    train.set_family(family);
    train.clear_tier();
    train.mutable_data()->set_style("styles");
    if (family != std::string("multistyle")) {
      train.clear_faststyle();
    }
    if (family == std::string("gatys")) {
      train.mutable_gatys()->set_iterations(3);
    }
    Create(service, request);
  }
  for (const char* family : {"multistyle", "reference", "gatys"}) {
    EXPECT_EQ(Watch(service, family).back().state().state(), v1::JOB_STATE_SUCCEEDED)
        << Get(service, family).reason() << service.process().Stderr();
  }

  v1::GetModelRequest get;
  get.set_model("multistyle");
  const auto model = service.client().GetModel(get);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(model->classes(), ::testing::ElementsAre("bold", "calm"));
  v1::StylizeRequest request = StylizeRequestFor("multistyle", MakePicture(120, 90, 7));
  v1::StyleShare& share = *request.add_mix();
  share.set_label("calm");
  share.set_weight(2);
  auto response = service.client().Stylize(request);
  ASSERT_TRUE(response.ok()) << response.status() << service.process().Stderr();
  EXPECT_EQ(response->results(0).width(), 120);
  share.set_label("loud");
  absl::Status status = service.client().Stylize(request).status();
  EXPECT_EQ(FieldOf(status), "mix") << status;

  request = StylizeRequestFor("reference", MakePicture(120, 90, 7));
  status = service.client().Stylize(request).status();
  EXPECT_EQ(FieldOf(status), "style_image") << status;
  request.set_style_image(MakePicture(64, 200, 8));
  response = service.client().Stylize(request);
  ASSERT_TRUE(response.ok()) << response.status() << service.process().Stderr();
  request.set_style_image(MakePicture(64, 200, 8).substr(0, 700));
  status = service.client().Stylize(request).status();
  EXPECT_EQ(FieldOf(status), "style_image") << status;

  ExpectStylizes(service, "gatys");
  request = StylizeRequestFor("gatys", MakePicture(1100, 90, 7));
  status = service.client().Stylize(request).status();
  EXPECT_EQ(FieldOf(status), "size") << status;
}

// One name for two families: what the model takes is said by the family that it is of.
TEST_F(TrainProgramsTest, VaeganWithAStyleSetRestylesPictures) {
  Service service(options_);
  v1::CreateJobRequest request = TinyJob("hybrid-1", "hybrid", 2);
  v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
  train.set_family("vaegan");
  train.clear_tier();
  train.clear_faststyle();
  train.set_base_channels(4);
  Create(service, request);
  EXPECT_EQ(Watch(service, "hybrid-1").back().state().state(), v1::JOB_STATE_SUCCEEDED)
      << Get(service, "hybrid-1").reason() << service.process().Stderr();
  v1::GetModelRequest get;
  get.set_model("hybrid");
  EXPECT_EQ(service.client().GetModel(get)->family(), "vaegan-pictures");
  ExpectStylizes(service, "hybrid");

  request.mutable_spec()->set_job_id("hybrid-2");
  train.mutable_pattern()->set_latent_size(8);
  EXPECT_EQ(FieldOf(service.client().CreateJob(request).status()), "train.pattern");
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

TEST_F(TrainProgramsTest, ACancelledJobEndsWithinTenSeconds) {
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
}

TEST_F(TrainProgramsTest, MetricsShowARunningJobAndForgetItWhenItEnds) {
  Service service(options_);
  Create(service, TinyJob("shown", "tiny", 100'000));
  AwaitCheckpoint(service, "shown");
  EXPECT_TRUE(WaitUntil(
      [&] { return service.Metric("atelier_jobs{state=\"running\"}").value_or(0) == 1; }));
  const v1::Job job = Get(service, "shown");
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
  const v1::Job job = Get(service, "holes");
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
