#include "common/compress_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

#include "atelier/v1/training.pb.h"
#include "common/errors.h"
#include "common/rpc/job_kind.h"
#include "common/rpc/proto_json.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using Json = nlohmann::json;

Json MinimalJob(const std::string& kind) {
  Json json = {{"model", "oil@2"}, {"data", {{"content", "garments"}}}};
  if (kind != kQuantize) {
    json["steps"] = 30;
  }
  return json;
}

std::optional<std::string> FieldOfJobAtFault(const std::string& kind, const char* key,
                                             const Json& value) {
  Json json = MinimalJob(kind);
  json[key] = value;
  return FieldOf(ParseJobConfig(kind, json.dump()).status());
}

TEST(CompressConfigTest, WhatIsLeftOutTakesItsDefault) {
  const auto distil = ParseJobConfig(kDistil, MinimalJob(kDistil).dump());
  ASSERT_TRUE(distil.ok()) << distil.status();
  EXPECT_TRUE(distil->compresses());
  EXPECT_EQ(distil->family, "distil");
  EXPECT_EQ(distil->compress.model, "oil@2");
  EXPECT_EQ(distil->tier, "lite");
  EXPECT_EQ(distil->steps, 30);
  EXPECT_EQ(distil->batch_size, 4);
  EXPECT_EQ(distil->learning_rate, 1e-3);
  EXPECT_EQ(distil->compress.pixel_weight, 10);
  EXPECT_EQ(distil->losses.perceptual_weight, 1);
  EXPECT_EQ(distil->precision, Precision::kBf16);
  EXPECT_EQ(distil->evaluate.held_out, 0.1);

  const auto prune = ParseJobConfig(kPrune, MinimalJob(kPrune).dump());
  ASSERT_TRUE(prune.ok()) << prune.status();
  EXPECT_EQ(prune->compress.keep, 0.5);

  const auto quantize = ParseJobConfig(kQuantize, MinimalJob(kQuantize).dump());
  ASSERT_TRUE(quantize.ok()) << quantize.status();
  EXPECT_EQ(quantize->steps, 64);
  EXPECT_EQ(quantize->batch_size, 1);
}

TEST(CompressConfigTest, TheJsonOfTheProtosIsRead) {
  v1::JobSpec spec;
  v1::PruneSpec& prune = *spec.mutable_prune();
  prune.set_model("oil@2");
  prune.mutable_data()->set_content("c");
  prune.mutable_data()->set_style("s");
  prune.set_steps(200);
  prune.set_keep(0.25);
  prune.set_pixel_weight(0);
  prune.set_precision(v1::PRECISION_FP32);
  const JobKind kind = KindOf(spec);
  EXPECT_EQ(kind.name, "prune");
  const auto config = ParseJobConfig(kind.name, ToJson(*kind.message));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->style_dataset, "s");
  EXPECT_EQ(config->compress.keep, 0.25);
  EXPECT_EQ(config->compress.pixel_weight, 0);
  EXPECT_EQ(config->precision, Precision::kFp32);

  spec.mutable_distil()->set_model("oil@1");
  spec.mutable_distil()->mutable_data()->set_content("c");
  spec.mutable_distil()->set_steps(1);
  spec.mutable_distil()->set_generator("resnet-6");
  EXPECT_EQ(ParseJobConfig("distil", ToJson(spec.distil()))->generator, "resnet-6");
  spec.mutable_quantize()->set_model("oil@1");
  spec.mutable_quantize()->mutable_data()->set_content("c");
  EXPECT_TRUE(ParseJobConfig("quantize", ToJson(spec.quantize())).ok());
}

TEST(CompressConfigTest, EveryRefusalNamesItsField) {
  EXPECT_EQ(FieldOfJobAtFault("distil", "model", "oil"), "distil.model");
  EXPECT_EQ(FieldOfJobAtFault("distil", "model", "oil@stable"), "distil.model");
  EXPECT_EQ(FieldOfJobAtFault("distil", "model", ""), "distil.model");
  EXPECT_EQ(FieldOfJobAtFault("distil", "steps", 0), "distil.steps");
  EXPECT_EQ(FieldOfJobAtFault("distil", "tier", "huge"), "distil.tier");
  EXPECT_EQ(FieldOfJobAtFault("distil", "generator", "unet-9"), "distil.generator");
  EXPECT_EQ(FieldOfJobAtFault("distil", "base_channels", 8), "distil.base_channels");  // of "lite"
  EXPECT_EQ(FieldOfJobAtFault("distil", "keep", 0.5), "distil.keep");
  EXPECT_EQ(FieldOfJobAtFault("quantize", "data", {{"content", "c"}, {"upscale", 1}}),
            "quantize.data.upscale");
  EXPECT_EQ(FieldOfJobAtFault("distil", "data", {{"style", "s"}}), "distil.data.content");
  EXPECT_EQ(FieldOfJobAtFault("distil", "data", {{"content", "../c"}}), "distil.data.content");
  EXPECT_EQ(FieldOfJobAtFault("distil", "image_size", 100), "distil.image_size");
  EXPECT_EQ(FieldOfJobAtFault("prune", "keep", 1), "prune.keep");
  EXPECT_EQ(FieldOfJobAtFault("prune", "keep", 0.01), "prune.keep");
  EXPECT_EQ(FieldOfJobAtFault("prune", "tier", "lite"), "prune.tier");
  EXPECT_EQ(FieldOfJobAtFault("prune", "precision", "int8"), "prune.precision");
  EXPECT_EQ(FieldOfJobAtFault("quantize", "steps", 3), "quantize.steps");
  EXPECT_EQ(FieldOfJobAtFault("quantize", "pictures", 20'000), "quantize.pictures");
  Json both = MinimalJob("distil");
  both["tier"] = "base";
  both["generator"] = "resnet-6";
  EXPECT_EQ(FieldOf(ParseJobConfig("distil", both.dump()).status()), "distil.tier");
  Json nothing = MinimalJob("prune");
  nothing["pixel_weight"] = 0;
  nothing["perceptual_weight"] = 0;
  EXPECT_EQ(FieldOf(ParseJobConfig("prune", nothing.dump()).status()), "prune.pixel_weight");
  EXPECT_EQ(FieldOf(ParseJobConfig("prune", "[]").status()), "prune");
  EXPECT_EQ(FieldOf(ParseJobConfig("shrink", "{}").status()), "shrink");
}

ModelSpec Model(const std::string& family, const std::string& generator) {
  ModelSpec spec;
  spec.family = family;
  spec.architecture.generator = generator;
  return spec;
}

TEST(CompressConfigTest, OnlyModelsOfOneStyleAreCompressed) {
  for (const char* kind : {kDistil, kPrune, kQuantize}) {
    const std::string field = std::string(kind) + ".model";
    EXPECT_TRUE(CheckCompressible(kind, Model("cyclegan", "resnet-9")).ok());
    EXPECT_TRUE(CheckCompressible(kind, Model("pix2pix", "unet-256")).ok());
    for (const auto& refused :
         {Model("dcgan", "dcgan"), Model("gatys", "gatys"), Model("multistyle", "multistyle"),
          Model("reference", "reference"), Model("unheard", "resnet-9")}) {
      EXPECT_EQ(FieldOf(CheckCompressible(kind, refused)), field) << refused.family;
    }
  }
  EXPECT_TRUE(CheckCompressible(kDistil, Model("faststyle", "lite")).ok());
  EXPECT_TRUE(CheckCompressible(kDistil, Model(kTorchScript, kTorchScript)).ok());
  for (const char* kind : {kPrune, kQuantize}) {
    EXPECT_FALSE(CheckCompressible(kind, Model("faststyle", "lite")).ok());
    EXPECT_FALSE(CheckCompressible(kind, Model(kTorchScript, kTorchScript)).ok());
  }
}

}  // namespace
}  // namespace atelier
