// What jobs of the other kinds and families make, from the job to the picture that it restyles.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/errors.h"
#include "tests/integration/pictures.h"
#include "tests/integration/service.h"
#include "tests/integration/train_fixture.h"

namespace atelier::test {
namespace {

// From a model to a smaller one of it, which is served in turn.
TEST_F(TrainProgramsTest, AModelIsDistilledQuantizedOrPrunedMeasuredAndServed) {
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
  const v1::Job job = GetJob(service, "small-1");
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
      << GetJob(service, "base-2").DebugString();
  ExpectStylizes(service, "base-int8");

  v1::CreateJobRequest pruned;
  pruned.mutable_spec()->set_job_id("base-3");
  pruned.mutable_spec()->set_output_model("base-half");
  v1::PruneSpec& prune = *pruned.mutable_spec()->mutable_prune();
  prune.set_model("base@1");
  prune.mutable_data()->set_content("content");
  prune.set_steps(2);
  prune.set_image_size(64);
  prune.set_batch_size(1);
  prune.set_precision(v1::PRECISION_FP32);
  Create(service, pruned);
  EXPECT_EQ(Watch(service, "base-3").back().state().state(), v1::JOB_STATE_SUCCEEDED)
      << GetJob(service, "base-3").DebugString();
  const v1::Job half = GetJob(service, "base-3");
  const auto& measured = half.progress().metrics();
  ASSERT_TRUE(measured.contains("before/size_bytes") && measured.contains("after/size_bytes"));
  EXPECT_LT(measured.at("after/size_bytes"), measured.at("before/size_bytes") / 2);
  ExpectStylizes(service, "base-half");

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
        << GetJob(service, family).reason() << service.process().Stderr();
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

// Pairs whose inputs are drawn from their targets: one set is enough.
TEST_F(TrainProgramsTest, Pix2pixLearnsFromEdgesAndStylizes) {
  Service service(options_);
  v1::CreateJobRequest request = TinyJob("pairs-1", "pairs", 2);
  v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
  UseFamily(train, "pix2pix");
  train.mutable_data()->clear_style();
  train.set_generator("unet-64");
  train.set_base_channels(8);
  train.mutable_gan()->set_channels(8);
  train.mutable_pix2pix()->set_edges(true);
  Create(service, request);
  EXPECT_EQ(Watch(service, "pairs-1").back().state().state(), v1::JOB_STATE_SUCCEEDED)
      << GetJob(service, "pairs-1").reason() << service.process().Stderr();
  ExpectStylizes(service, "pairs");
}

// One name for two families: what the model takes is said by the family that it is of.
TEST_F(TrainProgramsTest, VaeganWithAStyleSetRestylesPictures) {
  Service service(options_);
  v1::CreateJobRequest request = TinyJob("hybrid-1", "hybrid", 2);
  v1::TrainSpec& train = *request.mutable_spec()->mutable_train();
  UseFamily(train, "vaegan");
  train.set_base_channels(4);
  Create(service, request);
  EXPECT_EQ(Watch(service, "hybrid-1").back().state().state(), v1::JOB_STATE_SUCCEEDED)
      << GetJob(service, "hybrid-1").reason() << service.process().Stderr();
  v1::GetModelRequest get;
  get.set_model("hybrid");
  EXPECT_EQ(service.client().GetModel(get)->family(), "vaegan-pictures");
  ExpectStylizes(service, "hybrid");

  request.mutable_spec()->set_job_id("hybrid-2");
  train.mutable_pattern()->set_latent_size(8);
  EXPECT_EQ(FieldOf(service.client().CreateJob(request).status()), "train.pattern");
}

}  // namespace
}  // namespace atelier::test
