// What describes a model must be what inferences take, and must fit together the way that
// perf_analyzer reads it.
#include "server/inference/model_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/inference/served_models.h"
#include "server/inference/statistics_proto.h"
#include "tests/server/support/stylize_fakes.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;

class ModelTensorsTest : public ::testing::Test {
 protected:
  ModelTensorsTest() {
    registry_.other = testing::SamplePatternModel();
    registry_.model.capabilities.emplace_back("style_image");
  }
  testing::FakeRegistry registry_;
  ServedModels models_{registry_, /*identity=*/true};
};

TEST_F(ModelTensorsTest, MetadataAndConfigurationAgree) {
  for (const ModelVersion& model : models_.List()) {
    inference::ModelMetadataResponse metadata;
    Describe(model, models_.VersionsOf(model.name), metadata);
    inference::ModelConfig config;
    DescribeConfig(model, false, config);
    EXPECT_EQ(metadata.name(), config.name());
    EXPECT_GT(config.max_batch_size(), 0);
    const auto agree = [](const auto& described, const auto& configured) {
      ASSERT_EQ(described.size(), configured.size());
      for (int i = 0; i < described.size(); ++i) {
        EXPECT_EQ(described[i].name(), configured[i].name());
        // perf_analyzer drops the first dimension of the metadata where there is a batch size.
        const std::vector<std::int64_t> shape(described[i].shape().begin(),
                                              described[i].shape().end());
        ASSERT_FALSE(shape.empty());
        EXPECT_EQ(shape.front(), -1);
        EXPECT_THAT(std::vector<std::int64_t>(shape.begin() + 1, shape.end()),
                    ::testing::ElementsAreArray(configured[i].dims()));
        const std::string type = inference::DataType_Name(configured[i].data_type());
        EXPECT_EQ(
            "TYPE_" + (described[i].datatype() == "BYTES" ? "STRING" : described[i].datatype()),
            type);
      }
    };
    agree(metadata.inputs(), config.input());
    agree(metadata.outputs(), config.output());
    for (const std::string& version : metadata.versions()) {
      EXPECT_EQ(std::to_string(std::stoll(version)), version);
    }
    EXPECT_FALSE(config.model_transaction_policy().decoupled());
    EXPECT_TRUE(config.has_dynamic_batching());
  }
}

TEST_F(ModelTensorsTest, StylesArePicturesIn) {
  const ModelTensors tensors = TensorsOf(registry_.model);
  ASSERT_EQ(tensors.inputs.size(), 2U);
  EXPECT_EQ(tensors.inputs[0].name, "image");
  EXPECT_EQ(tensors.inputs[1].name, "style_image");
  EXPECT_EQ(tensors.outputs[0].name, "stylized");
}

TEST_F(ModelTensorsTest, IdentityHidesAModelOfItsName) {
  registry_.model.name = "identity";
  const auto versions = models_.VersionsOf("identity");
  ASSERT_EQ(versions.size(), 1U);
  EXPECT_EQ(KindOf(versions.front()), InferenceKind::kIdentity);
  EXPECT_EQ(KindOf(*ServedModels(registry_, false).Resolve("identity", "")),
            InferenceKind::kStylize);
}

TEST_F(ModelTensorsTest, ACacheIsTold) {
  inference::ModelConfig config;
  DescribeConfig(registry_.model, true, config);
  EXPECT_TRUE(config.response_cache().enable());
  inference::ModelConfig patterns;
  DescribeConfig(registry_.other, true, patterns);
  EXPECT_FALSE(patterns.response_cache().enable());
}

TEST(StatisticsProtoTest, FiguresAreInNanoseconds) {
  ModelStatistics figures;
  figures.success.Add(absl::Milliseconds(5));
  figures.queue.Add(absl::Milliseconds(1));
  figures.decode.Add(absl::Microseconds(2));
  figures.pictures = 3;
  figures.executions = 0.9999999999;
  figures.last_inference = absl::FromUnixMillis(1'700'000'000'123);
  figures.batches[3] = {.executions = 1, .compute = absl::Milliseconds(4)};
  inference::ModelStatistics proto;
  ToProto("oil", 3, figures, proto);
  EXPECT_EQ(proto.name(), "oil");
  EXPECT_EQ(proto.version(), "3");
  EXPECT_EQ(proto.inference_count(), 3U);
  EXPECT_EQ(proto.execution_count(), 1U);
  EXPECT_EQ(proto.last_inference(), 1'700'000'000'123U);
  EXPECT_EQ(proto.inference_stats().success().ns(), 5'000'000U);
  EXPECT_EQ(proto.inference_stats().queue().count(), 1U);
  EXPECT_EQ(proto.inference_stats().compute_input().ns(), 2000U);
  ASSERT_EQ(proto.batch_stats_size(), 1);
  EXPECT_EQ(proto.batch_stats(0).batch_size(), 3U);
  EXPECT_EQ(proto.batch_stats(0).compute_infer().ns(), 4'000'000U);
  inference::ModelStatistics nothing;
  ToProto("oil", 3, ModelStatistics(), nothing);
  EXPECT_EQ(nothing.last_inference(), 0U);
}

}  // namespace
}  // namespace atelier::server
