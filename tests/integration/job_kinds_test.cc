// Jobs that are more than one training, or none, with the real programs: sweeps, evaluations,
// restyled data sets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "common/files.h"
#include "nlohmann/json.hpp"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;

constexpr absl::Duration kJobLimit = absl::Seconds(180);

class JobKindsTest : public ::testing::Test {
 protected:
  JobKindsTest() {
    MakeDataset(directory_ / "content", 4, 1);
    MakeDataset(directory_ / "style", 3, 100);
    MakeShippedModels(directory_ / "shipped");
    fs::copy(directory_ / "shipped/random", directory_ / "shipped/other",
             fs::copy_options::recursive);
    Start();
  }

  void Start() {
    service_ = std::make_unique<Service>(Service::Options{
        .data_dir = data_,
        .shipped_models = directory_ / "shipped",
        .datasets = {{"content", directory_ / "content"}, {"style", directory_ / "style"}},
        .more = {"--local-workers", "0"}});
  }

  absl::Status Create(const v1::JobSpec& spec) {
    v1::CreateJobRequest request;
    *request.mutable_spec() = spec;
    return service_->client().CreateJob(request).status();
  }
  v1::Job Get(const std::string& job_id) {
    v1::GetJobRequest request;
    request.set_job_id(job_id);
    const auto job = service_->client().GetJob(request);
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? *job : v1::Job();
  }
  v1::Job AwaitEnd(const std::string& job_id) {
    v1::Job job;
    EXPECT_TRUE(WaitUntil(
        [&] {
          job = Get(job_id);
          return job.has_end_time();
        },
        kJobLimit));
    return job;
  }
  fs::path Attempt(const std::string& job_id, int number) const {
    return data_ / "jobs" / job_id / "attempts" / std::to_string(number);
  }

  static v1::JobSpec TinySweep(const std::string& job_id) {
    v1::JobSpec spec;
    spec.set_job_id(job_id);
    spec.set_output_model("tiny");
    v1::TrainSpec& train = *spec.mutable_sweep()->mutable_train();
    train = TinyJob("", "", 30).spec().train();
    train.clear_learning_rate();
    train.set_checkpoint_every_steps(2);
    train.mutable_evaluate()->set_every_steps(30);
    train.mutable_evaluate()->add_metrics("ssim");
    train.mutable_evaluate()->set_pictures(2);
    v1::SweepOption& option = *spec.mutable_sweep()->add_options();
    option.set_field("learning_rate");
    option.add_values()->set_number_value(0.001);
    option.add_values()->set_number_value(0.01);
    return spec;
  }
  static v1::JobSpec TinySet(const std::string& job_id) {
    v1::JobSpec spec;
    spec.set_job_id(job_id);
    spec.mutable_stylize_set()->set_dataset("content");
    spec.mutable_stylize_set()->add_models("random@1");
    spec.mutable_stylize_set()->add_models("other@1");
    spec.mutable_stylize_set()->set_output_dataset("restyled");
    spec.mutable_stylize_set()->set_format(v1::IMAGE_FORMAT_PNG);
    return spec;
  }

  TempDir directory_;
  const fs::path data_ = directory_ / "data";
  std::unique_ptr<Service> service_;
};

TEST_F(JobKindsTest, ARestyledSetSurvivesKillsAndCanBeLearntFrom) {
  ASSERT_TRUE(Create(TinySet("shop")).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Create(TinySet("twin")))) << "the first one will make it";
  const auto made = [&](int attempt) {
    std::error_code error;
    int pictures = 0;
    for (fs::recursive_directory_iterator it(Attempt("shop", attempt) / "pictures", error), end;
         !error && it != end; it.increment(error)) {
      pictures += it->path().extension() == ".png" && !it->is_directory(error) ? 1 : 0;
    }
    return pictures;
  };
  EXPECT_TRUE(WaitUntil([&] { return made(1) >= 1 || Get("shop").has_end_time(); }, kJobLimit));
  if (!Get("shop").has_end_time()) {
    if (const auto trainer = service_->Worker(WorkerKind::kTrain); trainer.has_value()) {
      kill(*trainer, SIGKILL);
    }
  }
  service_->process().Signal(SIGKILL);
  ASSERT_TRUE(service_->process().Wait().has_value());
  Start();
  const v1::Job job = AwaitEnd("shop");
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.DebugString();
  EXPECT_EQ(job.progress().step(), 8U);
  EXPECT_EQ(job.output_version(), 0U);

  v1::GetDatasetRequest request;
  request.set_name("restyled");
  const auto set = service_->client().GetDataset(request);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->dataset().files(), 8U);
  EXPECT_THAT(set->dataset().labels(), ElementsAre("other", "random"));
  EXPECT_THAT(set->dataset().source(), AllOf(HasSubstr("shop"), HasSubstr("random@1")));
  EXPECT_TRUE(absl::IsAlreadyExists(Create(TinySet("again"))));

  v1::CreateJobRequest next = TinyJob("next", "tiny", 2);
  next.mutable_spec()->mutable_train()->mutable_data()->set_content("restyled");
  ASSERT_TRUE(Create(next.spec()).ok());
  EXPECT_EQ(AwaitEnd("next").state(), v1::JOB_STATE_SUCCEEDED) << Get("next").DebugString();
}

TEST_F(JobKindsTest, ASetThatIsCancelledHalfWayIsNotPublishedAndItsNameIsFree) {
  MakeDataset(data_ / "datasets/many", 300, 1);
  v1::JobSpec spec = TinySet("shop");
  spec.mutable_stylize_set()->set_dataset("many");
  ASSERT_TRUE(Create(spec).ok());
  EXPECT_TRUE(WaitUntil([&] { return Get("shop").progress().step() > 0; }, kJobLimit));
  v1::CancelJobRequest cancel;
  cancel.set_job_id("shop");
  ASSERT_TRUE(service_->client().CancelJob(cancel).ok());
  const v1::Job job = AwaitEnd("shop");
  EXPECT_EQ(job.state(), v1::JOB_STATE_CANCELLED) << job.DebugString();
  EXPECT_LT(job.progress().step(), job.progress().steps());
  EXPECT_TRUE(fs::exists(Attempt("shop", 1) / "pictures/random/picture-0.png"));
  EXPECT_FALSE(fs::exists(data_ / "datasets/restyled"));

  spec = TinySet("again");
  ASSERT_TRUE(Create(spec).ok()) << "the name of the set is free";
  EXPECT_EQ(AwaitEnd("again").state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_TRUE(fs::exists(data_ / "datasets/restyled/random/picture-0.png"));
}

// The home of slow optimisation: pixels are optimised for each picture, beside a quick model.
TEST_F(JobKindsTest, ASetIsRestyledByOptimisingPixelsToo) {
  v1::JobSpec train = TinyJob("pixels", "pixels", 2).spec();
  UseFamily(*train.mutable_train(), "gatys");
  train.mutable_train()->mutable_gatys()->set_iterations(2);
  ASSERT_TRUE(Create(train).ok());
  ASSERT_EQ(AwaitEnd("pixels").state(), v1::JOB_STATE_SUCCEEDED) << Get("pixels").DebugString();
  v1::JobSpec spec = TinySet("shop");
  spec.mutable_stylize_set()->set_models(1, "pixels@1");
  spec.mutable_stylize_set()->set_size(2000);
  EXPECT_TRUE(absl::IsInvalidArgument(Create(spec))) << "too large for that";
  spec.mutable_stylize_set()->set_size(64);
  ASSERT_TRUE(Create(spec).ok()) << Create(spec);
  const v1::Job job = AwaitEnd("shop");
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.DebugString();
  for (const char* model : {"random", "pixels"}) {
    EXPECT_TRUE(fs::exists(data_ / "datasets/restyled" / model / "picture-3.png")) << model;
  }
}

TEST_F(JobKindsTest, MoreThanHalfUnreadablePicturesFailAndAFewAreLeftOut) {
  for (const char* name : {"broken-1.jpg", "broken-2.jpg"}) {
    std::ofstream(directory_ / "content" / name) << "no picture";
  }
  ASSERT_TRUE(Create(TinySet("few")).ok());
  const v1::Job few = AwaitEnd("few");
  ASSERT_EQ(few.state(), v1::JOB_STATE_SUCCEEDED) << few.DebugString();
  EXPECT_THAT(few.warnings(), Contains(HasSubstr("broken-1.jpg")));
  for (int i = 3; i < 7; ++i) {
    std::ofstream(directory_ / "content" / ("broken-" + std::to_string(i) + ".jpg")) << "none";
  }
  v1::JobSpec spec = TinySet("many");
  spec.mutable_stylize_set()->set_output_dataset("never");
  ASSERT_TRUE(Create(spec).ok());
  const v1::Job many = AwaitEnd("many");
  EXPECT_EQ(many.state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(many.reason(), HasSubstr("more than half"));
  EXPECT_FALSE(fs::exists(data_ / "datasets/never"));
}

TEST_F(JobKindsTest, ASweepGoesOnAtItsCellAndStepAndKeepsTheBest) {
  ASSERT_TRUE(Create(TinySweep("rates")).ok());
  // In the second cell, with a checkpoint of it.
  EXPECT_TRUE(
      WaitUntil([&] { return Get("rates").progress().step() > 36 || Get("rates").has_end_time(); },
                kJobLimit));
  ASSERT_FALSE(Get("rates").has_end_time()) << Get("rates").DebugString();
  kill(service_->AwaitWorker(WorkerKind::kTrain), SIGKILL);
  const v1::Job job = AwaitEnd("rates");
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.DebugString();
  EXPECT_EQ(job.attempts(), 2U);
  EXPECT_EQ(job.output_version(), 1U);
  EXPECT_EQ(job.progress().step(), 60U);
  EXPECT_THAT(job.progress().metrics(),
              AllOf(Contains(Key("cell/1/ssim")), Contains(Key("cell/2/ssim")),
                    Contains(Key("best_cell"))));
  EXPECT_FALSE(fs::exists(Attempt("rates", 2) / "cells/1")) << "done by the first attempt";

  const auto text = ReadFile(Attempt("rates", 2) / "sweep.json", 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto sweep = nlohmann::json::parse(*text);
  const auto& metrics = job.progress().metrics();
  const int best = metrics.at("cell/1/ssim") >= metrics.at("cell/2/ssim") ? 1 : 2;
  EXPECT_EQ(sweep.at("best"), best);
  EXPECT_EQ(metrics.at("best_cell"), best);
  v1::GetModelRequest request;
  request.set_model("tiny@1");
  const auto model = service_->client().GetModel(request);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_THAT(model->card(), HasSubstr("This is cell " + std::to_string(best) + " of 2"));
}

TEST_F(JobKindsTest, ASweepIsRefusedWithItsCellAndField) {
  v1::JobSpec spec = TinySweep("rates");
  spec.mutable_sweep()->mutable_options(0)->mutable_values(1)->set_number_value(7);
  const absl::Status status = Create(spec);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("sweep.train.learning_rate"), HasSubstr("cell 2")));
}

TEST_F(JobKindsTest, AnEvaluationLeavesNumbersAndNoModel) {
  v1::JobSpec spec;
  spec.set_job_id("test");
  spec.mutable_evaluate()->add_models("random@1");
  spec.mutable_evaluate()->add_models("other@1");
  spec.mutable_evaluate()->mutable_data()->set_content("content");
  spec.mutable_evaluate()->mutable_data()->set_style("style");
  spec.mutable_evaluate()->set_image_size(64);
  spec.set_output_model("tiny");
  EXPECT_TRUE(absl::IsInvalidArgument(Create(spec))) << "it makes no model";
  spec.clear_output_model();
  ASSERT_TRUE(Create(spec).ok());
  const v1::Job job = AwaitEnd("test");
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.DebugString();
  EXPECT_EQ(job.output_version(), 0U);
  const auto& metrics = job.progress().metrics();
  ASSERT_THAT(metrics, AllOf(Contains(Key("random@1/ssim")), Contains(Key("other@1/style_gain"))));
  EXPECT_EQ(metrics.at("random@1/ssim"), metrics.at("other@1/ssim")) << "equal weights";
  EXPECT_TRUE(fs::exists(Attempt("test", 1) / "evaluation.json"));
  EXPECT_FALSE(fs::exists(Attempt("test", 1) / ".work"));

  spec.set_job_id("gone");
  spec.mutable_evaluate()->set_models(1, "nobody@3");
  EXPECT_TRUE(absl::IsNotFound(Create(spec)));
}

TEST_F(JobKindsTest, PatternsAreMeasuredAgainstTheOnesThatTheyImitate) {
  v1::JobSpec train = TinyJob("florals", "florals", 2).spec();
  UseFamily(*train.mutable_train(), "dcgan");
  train.mutable_train()->mutable_data()->clear_style();
  train.mutable_train()->set_batch_size(2);
  train.mutable_train()->set_base_channels(8);
  train.mutable_train()->mutable_gan()->set_channels(8);
  ASSERT_TRUE(Create(train).ok()) << Create(train);
  ASSERT_EQ(AwaitEnd("florals").state(), v1::JOB_STATE_SUCCEEDED) << Get("florals").DebugString();
  v1::JobSpec spec;
  spec.set_job_id("test");
  spec.mutable_evaluate()->add_models("florals@1");
  spec.mutable_evaluate()->mutable_data()->set_content("content");
  spec.mutable_evaluate()->add_metrics("kernel_distance");
  spec.mutable_evaluate()->add_metrics("diversity");
  ASSERT_TRUE(Create(spec).ok()) << Create(spec);
  const v1::Job job = AwaitEnd("test");
  ASSERT_EQ(job.state(), v1::JOB_STATE_SUCCEEDED) << job.DebugString();
  EXPECT_THAT(job.progress().metrics(),
              AllOf(Contains(Key("kernel_distance")), Contains(Key("diversity"))));

  spec.set_job_id("mixed");
  spec.mutable_evaluate()->add_models("random@1");
  EXPECT_TRUE(absl::IsInvalidArgument(Create(spec))) << "it makes no patterns";
}

}  // namespace
}  // namespace atelier::test
