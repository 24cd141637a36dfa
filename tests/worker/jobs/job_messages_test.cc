#include "worker/jobs/job_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/errors.h"

namespace atelier::worker {
namespace {

using internal::v1::JobFinished;

internal::v1::StartJob Start() {
  internal::v1::StartJob start;
  start.mutable_spec()->set_job_id("oil-1");
  start.mutable_spec()->set_output_model("oil");
  v1::TrainSpec* train = start.mutable_spec()->mutable_train();
  train->set_family("faststyle");
  train->mutable_data()->set_content("garments");
  train->mutable_data()->set_style("paintings");
  train->set_steps(3'000'000);
  start.set_fence(4);
  start.set_attempt_directory("/data/jobs/oil-1/attempts/4");
  start.set_content_directory("/sets/garments");
  start.set_style_directory("/sets/paintings");
  start.set_resume_directory("/data/jobs/oil-1/attempts/3/checkpoints/step-200");
  start.set_init_directory("/data/models/oil/2");
  start.set_source_directory("/data/models/oil/3");
  return start;
}

TEST(JobMessagesTest, AJobKeepsItsSettingsAndFolders) {
  internal::v1::StartJob start = Start();
  v1::TrainSpec* train = start.mutable_spec()->mutable_train();
  train->set_batch_size(2);
  train->set_image_size(128);
  train->set_seed(18'446'744'073'709'551'615ULL);
  train->set_precision(v1::PRECISION_FP32);
  train->set_adam_beta1(0);
  train->mutable_faststyle()->set_style_weight(0);
  const auto job = ToTrainJob(start);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->config.family, "faststyle");
  EXPECT_EQ(job->config.steps, 3'000'000);
  EXPECT_EQ(job->config.batch_size, 2);
  EXPECT_EQ(job->config.image_size, 128);
  EXPECT_EQ(job->config.seed, 18'446'744'073'709'551'615ULL);
  EXPECT_EQ(job->config.precision, Precision::kFp32);
  EXPECT_EQ(job->config.adam_beta1, 0);
  EXPECT_EQ(job->config.faststyle.style_weight, 0);
  EXPECT_EQ(job->config.checkpoint_every_steps, TrainConfig().checkpoint_every_steps);
  EXPECT_EQ(job->job_id, "oil-1");
  EXPECT_EQ(job->content_directory, "/sets/garments");
  EXPECT_EQ(job->style_directory, "/sets/paintings");
  EXPECT_EQ(job->attempt_directory, "/data/jobs/oil-1/attempts/4");
  EXPECT_EQ(job->resume_directory, "/data/jobs/oil-1/attempts/3/checkpoints/step-200");
  EXPECT_EQ(job->init_directory, "/data/models/oil/2");
  EXPECT_EQ(job->source_model, "/data/models/oil/3");
}

TEST(JobMessagesTest, ABadJobNamesItsField) {
  internal::v1::StartJob family = Start();
  family.mutable_spec()->mutable_train()->set_family("nonsense");
  EXPECT_EQ(FieldOf(ToTrainJob(family).status()), "train.family");
  internal::v1::StartJob nothing = Start();
  nothing.mutable_spec()->clear_train();
  EXPECT_EQ(FieldOf(ToTrainJob(nothing).status()), "kind");
}

TEST(JobMessagesTest, ProgressHasPercentAndTheTimeLeftOnceItIsKnown) {
  train::Progress progress{.step = 30,
                           .steps = 120,
                           .epoch = 2,
                           .seconds_left = 90.5,
                           .images_per_s = 3.5,
                           .learning_rate = 2e-4,
                           .losses = {{"style", 0.25}, {"total", 1.5}}};
  v1::JobProgress message = ToProgress(progress);
  EXPECT_EQ(message.step(), 30);
  EXPECT_EQ(message.steps(), 120);
  EXPECT_EQ(message.epoch(), 2);
  EXPECT_DOUBLE_EQ(message.percent(), 25);
  EXPECT_EQ(message.eta().seconds(), 90);
  EXPECT_EQ(message.eta().nanos(), 500'000'000);
  EXPECT_DOUBLE_EQ(message.images_per_s(), 3.5);
  EXPECT_DOUBLE_EQ(message.learning_rate(), 2e-4);
  EXPECT_DOUBLE_EQ(message.losses().at("style"), 0.25);
  EXPECT_TRUE(message.metrics().empty());
  progress.metrics = {{"kernel_distance", 0.125}};
  progress.metrics_step = 20;
  EXPECT_DOUBLE_EQ(ToProgress(progress).metrics().at("kernel_distance"), 0.125);
  EXPECT_EQ(ToProgress(progress).metrics_step(), 20);
  progress.memory_bytes = 3ULL << 30;
  EXPECT_EQ(ToProgress(progress).memory_bytes(), 3ULL << 30);
  progress.seconds_left = -1;
  EXPECT_FALSE(ToProgress(progress).has_eta());
}

TEST(JobMessagesTest, TheThreeEnds) {
  const JobFinished done = ToFinished(train::Outcome::kFinished, "/a/4/result");
  EXPECT_EQ(done.outcome(), JobFinished::OUTCOME_SUCCEEDED);
  EXPECT_EQ(done.result_directory(), "/a/4/result");
  EXPECT_EQ(ToFinished(train::Outcome::kStopped, "/a/4").outcome(), JobFinished::OUTCOME_STOPPED);
  const JobFinished failed = ToFinished(absl::ResourceExhaustedError("The disk is full."), "/a/4");
  EXPECT_EQ(failed.outcome(), JobFinished::OUTCOME_FAILED);
  EXPECT_EQ(failed.code(), 8);
  EXPECT_EQ(failed.message(), "The disk is full.");
}

}  // namespace
}  // namespace atelier::worker
