// What jobs that use models as they are can be told, and with which models.
#include "common/model_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/errors.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;

Json SmallSet() {
  return {{"dataset", "shoes"}, {"models", {"oil@1", "ink@2"}}, {"output_dataset", "oil-shoes"}};
}

std::string SetFieldAtFault(const std::string& key, const Json& value) {
  Json json = SmallSet();
  json[key] = value;
  return FieldOf(ParseStylizeSet(json.dump()).status()).value_or("");
}

Json SmallEvaluation() { return {{"models", {"oil@1"}}, {"data", {{"content", "shoes"}}}}; }

std::string EvaluationFieldAtFault(const std::string& key, const Json& value) {
  Json json = SmallEvaluation();
  json[key] = value;
  return FieldOf(ParseEvaluateJob(json.dump()).status()).value_or("");
}

ModelSpec SpecOf(const std::string& family) {
  ModelSpec spec;
  spec.family = family;
  return spec;
}

TEST(StylizeSetConfigTest, WhatIsLeftOutTakesItsDefault) {
  const auto config = ParseStylizeSet(SmallSet().dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->models, ElementsAre("oil@1", "ink@2"));
  EXPECT_EQ(config->strength, 1);
  EXPECT_EQ(config->size, 0);
  EXPECT_EQ(config->quality, 95);
  EXPECT_FALSE(config->format.has_value());
  EXPECT_FALSE(config->precision.has_value());
}

TEST(StylizeSetConfigTest, ControlsAreReadAndChecked) {
  Json json = SmallSet();
  json["strength"] = 0;
  json["format"] = "IMAGE_FORMAT_WEBP";
  json["precision"] = "PRECISION_UNSPECIFIED";
  json["size"] = 64;
  const auto config = ParseStylizeSet(json.dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->strength, 0) << "not unset";
  EXPECT_EQ(config->format, ImageFormat::kWebp);
  EXPECT_EQ(SetFieldAtFault("strength", 1.5), "stylize_set.strength");
  EXPECT_EQ(SetFieldAtFault("size", 15), "stylize_set.size");
  EXPECT_EQ(SetFieldAtFault("size", 4097), "stylize_set.size");
  EXPECT_EQ(SetFieldAtFault("quality", 101), "stylize_set.quality");
  EXPECT_EQ(SetFieldAtFault("format", "gif"), "stylize_set.format");
  EXPECT_EQ(SetFieldAtFault("precision", "PRECISION_FP16"), "stylize_set.precision");
  EXPECT_EQ(SetFieldAtFault("dataset", "No"), "stylize_set.dataset");
  EXPECT_EQ(SetFieldAtFault("output_dataset", "shoes"), "stylize_set.output_dataset");
  EXPECT_EQ(SetFieldAtFault("colour", 1), "stylize_set.colour");
}

TEST(StylizeSetConfigTest, ModelsAreNamedWithTheirVersionsAndOnce) {
  EXPECT_EQ(SetFieldAtFault("models", Json::array()), "stylize_set.models");
  EXPECT_EQ(SetFieldAtFault("models", {"a@1", "a@1"}), "stylize_set.models");
  EXPECT_EQ(SetFieldAtFault("models", {"a@1", "b"}), "stylize_set.models[1]");
  EXPECT_EQ(
      SetFieldAtFault("models", {"a@1", "b@2", "c@3", "d@1", "e@1", "f@1", "g@1", "h@1", "i@1"}),
      "stylize_set.models");
}

TEST(StylizeSetConfigTest, ModelsThatCannotRestyleOnTheirOwnAreRefused) {
  StylizeSetConfig config = ParseStylizeSet(SmallSet().dump()).value();
  EXPECT_TRUE(CheckRestyles(config, 0, SpecOf("faststyle")).ok());
  EXPECT_EQ(FieldOf(CheckRestyles(config, 1, SpecOf("dcgan"))), "stylize_set.models[1]");
  ModelSpec reference = SpecOf("reference");
  reference.capabilities.emplace_back("style_image");
  EXPECT_EQ(FieldOf(CheckRestyles(config, 0, reference)), "stylize_set.models[0]");
  config.size = 2000;
  EXPECT_TRUE(CheckRestyles(config, 0, SpecOf("faststyle")).ok());
  EXPECT_EQ(FieldOf(CheckRestyles(config, 0, SpecOf("gatys"))), "stylize_set.size");
  config.precision = Precision::kInt8;
  EXPECT_EQ(FieldOf(CheckRestyles(config, 0, SpecOf("faststyle"))), "stylize_set.precision");
}

TEST(EvaluateJobConfigTest, FieldsAreChecked) {
  ASSERT_TRUE(ParseEvaluateJob(SmallEvaluation().dump()).ok());
  EXPECT_EQ(EvaluationFieldAtFault("models", {"oil"}), "evaluate.models[0]");
  EXPECT_EQ(EvaluationFieldAtFault("metrics", {"beauty"}), "evaluate.metrics");
  EXPECT_EQ(EvaluationFieldAtFault("pictures", 1001), "evaluate.pictures");
  EXPECT_EQ(EvaluationFieldAtFault("image_size", 100), "evaluate.image_size");
  EXPECT_EQ(EvaluationFieldAtFault("data", {{"style", "s"}}), "evaluate.data.content");
  EXPECT_EQ(EvaluationFieldAtFault("data", {{"content", "c"}, {"upscale", true}}),
            "evaluate.data.upscale");
}

TEST(EvaluateJobConfigTest, MetricsFollowWhatTheModelsMakeAndWhatDataThereAre) {
  EvaluateJobConfig config = ParseEvaluateJob(SmallEvaluation().dump()).value();
  EXPECT_THAT(MetricsFor(config, SpecOf("faststyle")).value(),
              ElementsAre("content_similarity", "ssim"));
  EXPECT_THAT(MetricsFor(config, SpecOf("dcgan")).value(), ElementsAre("kernel_distance"));
  config.metrics = {"style_gain"};
  EXPECT_EQ(FieldOf(MetricsFor(config, SpecOf("faststyle")).status()), "evaluate.data.style");
  config.style_dataset = "paintings";
  EXPECT_TRUE(MetricsFor(config, SpecOf("faststyle")).ok());
  EXPECT_EQ(FieldOf(MetricsFor(config, SpecOf("dcgan")).status()), "evaluate.data.style");
  config.style_dataset.clear();
  EXPECT_EQ(FieldOf(MetricsFor(config, SpecOf("dcgan")).status()), "evaluate.metrics");
  config.image_size = 64;
  EXPECT_EQ(FieldOf(CheckMeasurable(config, 0, SpecOf("dcgan"))), "evaluate.image_size");
}

}  // namespace
}  // namespace atelier
