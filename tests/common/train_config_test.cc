#include "common/train_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "atelier/v1/training.pb.h"
#include "common/errors.h"
#include "common/rpc/proto_json.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using Json = nlohmann::json;

Json Minimal() {
  return {{"family", "faststyle"},
          {"steps", 30},
          {"data", {{"content", "garments"}, {"style", "paintings"}}}};
}

absl::StatusOr<TrainConfig> ParseWith(const char* key, const Json& value) {
  Json json = Minimal();
  json[key] = value;
  return ParseTrainConfig(json.dump());
}

std::optional<std::string> FieldAtFault(const char* key, const Json& value) {
  return FieldOf(ParseWith(key, value).status());
}

TEST(TrainConfigTest, WhatIsLeftOutTakesItsDefault) {
  const auto config = ParseTrainConfig(Minimal().dump());
  ASSERT_TRUE(config.ok()) << config.status();
  const TrainConfig defaults;
  EXPECT_EQ(config->family, "faststyle");
  EXPECT_EQ(config->tier, "lite");
  EXPECT_EQ(config->content_dataset, "garments");
  EXPECT_EQ(config->style_dataset, "paintings");
  EXPECT_EQ(config->steps, 30);
  EXPECT_EQ(config->batch_size, 4);
  EXPECT_EQ(config->image_size, 256);
  EXPECT_EQ(config->checkpoint_every_steps, 200);
  EXPECT_EQ(config->keep_checkpoints, 3);
  EXPECT_EQ(config->learning_rate, 2e-4);
  EXPECT_EQ(config->adam_beta1, 0.5);
  EXPECT_EQ(config->precision, Precision::kBf16);
  EXPECT_EQ(config->faststyle.style_weight, defaults.faststyle.style_weight);
}

TEST(TrainConfigTest, TheJsonOfTheProtoIsRead) {
  v1::TrainSpec spec;
  spec.set_family("faststyle");
  spec.mutable_data()->set_content("c");
  spec.mutable_data()->set_style("s");
  spec.set_steps(30);
  spec.set_seed(18446744073709551615u);
  spec.set_adam_beta1(0);
  spec.set_precision(v1::PRECISION_FP32);
  spec.mutable_faststyle()->set_adversarial_weight(0);
  spec.mutable_faststyle()->set_style_size(640);
  const auto config = ParseTrainConfig(ToJson(spec));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->seed, 18446744073709551615u);
  EXPECT_EQ(config->batch_size, 4);  // 0 in the JSON
  EXPECT_EQ(config->learning_rate, 2e-4);
  EXPECT_EQ(config->adam_beta1, 0);
  EXPECT_EQ(config->precision, Precision::kFp32);
  EXPECT_EQ(config->faststyle.adversarial_weight, 0);
  EXPECT_EQ(config->faststyle.style_size, 640);
}

TEST(TrainConfigTest, EveryOptionOfTheProtoIsKnown) {
  const google::protobuf::Descriptor* options = v1::FaststyleOptions::descriptor();
  for (int i = 0; i < options->field_count(); ++i) {
    const std::string& name = options->field(i)->name();
    EXPECT_TRUE(ParseWith("faststyle", {{name, 100}}).ok()) << name;
  }
}

TEST(TrainConfigTest, BothCasesAndNumbersAsStringsAreRead) {
  const auto config = ParseTrainConfig(
      R"({"family":"faststyle","data":{"content":"c","style":"s"},"steps":"3e3","batchSize":"2"})");
  EXPECT_FALSE(config.ok());
  const auto good = ParseTrainConfig(
      R"({"family":"faststyle","data":{"content":"c","style":"s"},"steps":"3000","batchSize":2.0,
          "learning_rate":"1e-3","precision":"bf16","tier":"quality"})");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(good->steps, 3000);
  EXPECT_EQ(good->batch_size, 2);
  EXPECT_EQ(good->learning_rate, 1e-3);
  EXPECT_EQ(good->tier, "quality");
}

TEST(TrainConfigTest, LimitsOfThewholeNumbers) {
  struct Limit {
    const char* key;
    std::uint64_t lowest;
    std::uint64_t highest;
  };
  for (const Limit& limit :
       {Limit{"steps", 1, 10'000'000}, Limit{"batch_size", 1, 64}, Limit{"image_size", 64, 1024},
        Limit{"sample_every_epochs", 1, 1'000'000}, Limit{"checkpoint_every_steps", 1, 1'000'000},
        Limit{"keep_checkpoints", 1, 100}}) {
    const std::string field = std::string("train.") + limit.key;
    EXPECT_TRUE(ParseWith(limit.key, limit.lowest).ok()) << field;
    EXPECT_TRUE(ParseWith(limit.key, limit.highest).ok()) << field;
    EXPECT_EQ(FieldAtFault(limit.key, limit.highest + 1), field);
    EXPECT_EQ(FieldAtFault(limit.key, -1), field);
    EXPECT_EQ(FieldAtFault(limit.key, 1.5), field);
    EXPECT_EQ(FieldAtFault(limit.key, "many"), field);
    EXPECT_EQ(FieldAtFault(limit.key, Json::array()), field);
    if (limit.lowest > 1) {
      EXPECT_EQ(FieldAtFault(limit.key, limit.lowest - 1), field);
    }
  }
  EXPECT_EQ(FieldAtFault("image_size", 100), "train.image_size");
}

TEST(TrainConfigTest, LimitsOfTheOtherNumbers) {
  EXPECT_TRUE(ParseWith("learning_rate", 1).ok());
  EXPECT_TRUE(ParseWith("adam_beta1", 0).ok());
  for (const Json& bad : {Json(-0.1), Json(1.01), Json("NaN"), Json("Infinity"), Json(true)}) {
    EXPECT_EQ(FieldAtFault("learning_rate", bad), "train.learning_rate") << bad;
    EXPECT_EQ(FieldAtFault("adam_beta1", bad), "train.adam_beta1") << bad;
  }
  EXPECT_EQ(FieldAtFault("adam_beta1", 1), "train.adam_beta1");
}

TEST(TrainConfigTest, LimitsOfTheLossWeights) {
  for (const char* key :
       {"content_weight", "style_weight", "total_variation_weight", "adversarial_weight",
        "luminance_weight", "color_weight", "chroma_weight"}) {
    EXPECT_TRUE(ParseWith("faststyle", {{key, 0}}).ok());
    for (const Json& bad : {Json(-1), Json("NaN"), Json("-Infinity")}) {
      EXPECT_EQ(FieldAtFault("faststyle", {{key, bad}}), std::string("train.faststyle.") + key);
    }
  }
  EXPECT_EQ(FieldAtFault("faststyle", {{"style_size", 63}}), "train.faststyle.style_size");
  EXPECT_EQ(FieldAtFault("faststyle", {{"style_size", 0}}), "train.faststyle.style_size");
  EXPECT_EQ(FieldAtFault("faststyle", {{"style_size", 4097}}), "train.faststyle.style_size");
}

TEST(TrainConfigTest, UnknownThingsAreNamed) {
  EXPECT_EQ(FieldAtFault("family", "cyclegan9"), "train.family");
  EXPECT_EQ(FieldAtFault("family", 1), "train.family");
  EXPECT_EQ(FieldAtFault("tier", "huge"), "train.tier");
  EXPECT_EQ(FieldAtFault("precision", "fp64"), "train.precision");
  EXPECT_EQ(FieldAtFault("colour", "red"), "train.colour");
  EXPECT_EQ(FieldAtFault("faststyle", {{"colour", 1}}), "train.faststyle.colour");
  EXPECT_EQ(FieldAtFault("faststyle", 1), "train.faststyle");
  EXPECT_EQ(FieldAtFault("data", {{"content", "c"}, {"style", "s"}, {"path", "/"}}),
            "train.data.path");
}

TEST(TrainConfigTest, RequiredFieldsAreNamedWhenMissing) {
  for (const auto& [key, field] : {std::pair{"family", "train.family"},
                                   {"steps", "train.steps"},
                                   {"data", "train.data.content"}}) {
    Json json = Minimal();
    json.erase(key);
    EXPECT_EQ(FieldOf(ParseTrainConfig(json.dump()).status()), field);
    json[key] = nullptr;
    EXPECT_EQ(FieldOf(ParseTrainConfig(json.dump()).status()), field);
  }
  EXPECT_EQ(FieldAtFault("data", {{"content", "c"}}), "train.data.style");
}

TEST(TrainConfigTest, DataSetsAreNamesNeverPaths) {
  EXPECT_EQ(FieldAtFault("data", {{"content", "/etc"}, {"style", "s"}}), "train.data.content");
  EXPECT_EQ(FieldAtFault("data", {{"content", "c"}, {"style", "../s"}}), "train.data.style");
}

TEST(TrainConfigTest, AFieldInBothCasesIsRefused) {
  EXPECT_EQ(FieldOf(ParseTrainConfig(R"({"batch_size":1,"batchSize":2})").status()),
            "train.batch_size");
}

TEST(TrainConfigTest, OtherTextIsRefused) {
  for (const char* text : {"", "[]", "3", "null", "{", "family: faststyle", "{\"steps\": NaN}"}) {
    EXPECT_EQ(FieldOf(ParseTrainConfig(text).status()), "train") << text;
  }
}

}  // namespace
}  // namespace atelier
