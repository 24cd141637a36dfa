// Workers that share no disk with the server: jobs that need more than data sets, or make something
// else than a model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "tests/integration/pictures.h"
#include "tests/integration/remote_fixture.h"
#include "tests/integration/service.h"
#include "tests/support/process.h"

namespace atelier::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Key;

TEST_F(RemoteWorkerTest, WhatAJobStartsFromOrIsMadeOfIsFetchedToo) {
  const std::unique_ptr<Service> service =
      StartServer("data", /*trainers=*/0, MakeShippedModels(directory_ / "models"));
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  v1::CreateJobRequest tuned = TinyJob("job", "tuned", 2);
  tuned.mutable_spec()->mutable_train()->set_init_from("random@1");
  v1::CreateJobRequest small;
  small.mutable_spec()->set_job_id("small");
  small.mutable_spec()->set_output_model("small");
  v1::DistilSpec& distil = *small.mutable_spec()->mutable_distil();
  distil.set_model("random@1");
  distil.mutable_data()->set_content("content");
  distil.set_steps(2);
  distil.set_image_size(64);
  distil.set_batch_size(1);
  distil.set_precision(v1::PRECISION_FP32);
  for (const v1::CreateJobRequest& request : {tuned, small}) {
    const auto job = service->client().CreateJob(request);
    ASSERT_TRUE(job.ok()) << job.status();
  }
  AwaitSuccess(*service, *worker);
  EXPECT_THAT(GetJob(*service, "job").warnings(),
              Contains(AllOf(HasSubstr("the generator started from random@1"),
                             HasSubstr("tensors taken over"))));
  v1::GetModelRequest get;
  get.set_model("tuned@1");
  EXPECT_THAT(service->client().GetModel(get).value_or(v1::Model()).card(),
              HasSubstr("| parent model | random@1 |"));
  // The model of both is fetched once.
  const std::size_t fetched = FilesBelow(directory_ / "cache/blobs");
  EXPECT_GT(fetched, kRemotePictures + 1) << "model.json and the weights";
  AwaitSuccess(*service, *worker, "small");
  EXPECT_THAT(GetJob(*service, "small").progress().metrics(), Contains(Key("to_source/ssim")));
  EXPECT_EQ(FilesBelow(directory_ / "cache/blobs"), fetched);
}

TEST_F(RemoteWorkerTest, ADataSetThatIsRestyledElsewhereIsPublishedHere) {
  const std::unique_ptr<Service> service =
      StartServer("data", /*trainers=*/0, MakeShippedModels(directory_ / "models"));
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  v1::CreateJobRequest create;
  create.mutable_spec()->set_job_id("job");
  v1::StylizeSetSpec* set = create.mutable_spec()->mutable_stylize_set();
  set->set_dataset("content");
  set->add_models("random@1");
  set->set_output_dataset("restyled");
  const auto job = service->client().CreateJob(create);
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitSuccess(*service, *worker);
  v1::GetDatasetRequest request;
  request.set_name("restyled");
  const auto made = service->client().GetDataset(request);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->dataset().files(), 6U);
}

TEST_F(RemoteWorkerTest, ModelsAreMeasuredElsewhere) {
  const std::unique_ptr<Service> service =
      StartServer("data", /*trainers=*/0, MakeShippedModels(directory_ / "models"));
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  v1::CreateJobRequest create;
  create.mutable_spec()->set_job_id("job");
  v1::EvaluateSpec* evaluate = create.mutable_spec()->mutable_evaluate();
  evaluate->add_models("random@1");
  evaluate->mutable_data()->set_content("content");
  evaluate->set_image_size(64);
  evaluate->set_pictures(3);
  const auto job = service->client().CreateJob(create);
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitSuccess(*service, *worker);
  EXPECT_THAT(GetJob(*service, "job").progress().metrics(), Contains(Key("ssim")));
  EXPECT_TRUE(fs::exists(directory_ / "data/jobs/job/attempts/1/evaluation.json"));
}

TEST_F(RemoteWorkerTest, ASweepRunsElsewhereAndItsBestCellIsPublishedHere) {
  const std::unique_ptr<Service> service = StartServer("data", /*trainers=*/0);
  const std::unique_ptr<Process> worker = StartWorker(*service, "train", "cache");
  v1::CreateJobRequest create;
  create.mutable_spec()->set_job_id("job");
  create.mutable_spec()->set_output_model("tiny");
  v1::SweepSpec* sweep = create.mutable_spec()->mutable_sweep();
  *sweep->mutable_train() = TinyJob("", "", 4).spec().train();
  sweep->mutable_train()->mutable_evaluate()->set_every_steps(4);
  sweep->mutable_train()->mutable_evaluate()->add_metrics("ssim");
  sweep->mutable_train()->mutable_evaluate()->set_pictures(2);
  v1::SweepOption* option = sweep->add_options();
  option->set_field("learning_rate");
  option->add_values()->set_number_value(0.001);
  option->add_values()->set_number_value(0.01);
  const auto job = service->client().CreateJob(create);
  ASSERT_TRUE(job.ok()) << job.status();
  AwaitSuccess(*service, *worker);
  EXPECT_THAT(GetJob(*service, "job").progress().metrics(),
              AllOf(Contains(Key("cell/1/ssim")), Contains(Key("cell/2/ssim"))));
  EXPECT_EQ(GetJob(*service, "job").output_version(), 1U);
  EXPECT_TRUE(fs::exists(directory_ / "data/jobs/job/attempts/1/sweep.json"));
  EXPECT_TRUE(fs::exists(directory_ / "data/models/tiny/1/weights.safetensors"));
}

}  // namespace
}  // namespace atelier::test
