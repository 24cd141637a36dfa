#include "common/train_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>

#include "atelier/v1/training.pb.h"
#include "common/errors.h"
#include "common/family.h"
#include "common/rpc/proto_json.h"
#include "nlohmann/json.hpp"
#include "tests/common/train_specs.h"

namespace atelier {
namespace {

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

// A family that the option message applies to.
std::string FamilyOf(const std::string& message) {
  for (const Family& family : Families()) {
    if (std::find(family.options.begin(), family.options.end(), message) != family.options.end()) {
      return std::string(family.name);
    }
  }
  return "faststyle";
}

// A value that some option of this name or type takes.
Json SomeValue(const google::protobuf::FieldDescriptor& field) {
  static const std::map<std::string, std::string> texts = {
      {"loss", "hinge"},        {"discriminator", "pixel"},  {"norm", "none"},
      {"kind", "cosine"},       {"architecture", "classic"}, {"border", "nearest"},
      {"best_by", "diversity"}, {"result", "best"},          {"condition", "words"}};
  if (field.is_repeated()) {
    return field.cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING
               ? Json{"kernel_distance", "diversity"}
               : Json{0, 1};
  }
  switch (field.cpp_type()) {
    case google::protobuf::FieldDescriptor::CPPTYPE_STRING:
      return texts.at(field.name());
    case google::protobuf::FieldDescriptor::CPPTYPE_BOOL:
      return true;
    case google::protobuf::FieldDescriptor::CPPTYPE_DOUBLE:
      return 0.5;
    default:
      return field.name() == "style_size" ? 64 : 2;
  }
}

TEST(TrainConfigTest, EveryOptionOfTheProtoIsKnown) {
  const google::protobuf::Descriptor* spec = v1::TrainSpec::descriptor();
  int seen = 0;
  for (int i = 0; i < spec->field_count(); ++i) {
    const google::protobuf::FieldDescriptor* message = spec->field(i);
    if (message->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE ||
        message->name() == "data") {
      continue;
    }
    const Family& family = *FindFamily(FamilyOf(message->name()));
    for (int k = 0; k < message->message_type()->field_count(); ++k) {
      const google::protobuf::FieldDescriptor& field = *message->message_type()->field(k);
      Json json = MinimalOf(family);
      json[message->name()] = {{field.name(), SomeValue(field)}};
      const auto config = ParseTrainConfig(json.dump());
      // A value may contradict another default, but its name is known.
      EXPECT_TRUE(config.ok() ||
                  config.status().message().find("no such field") == std::string::npos)
          << config.status();
      ++seen;
    }
  }
  EXPECT_GT(seen, 50);
}

TEST(TrainConfigTest, EveryFamilyHasDefaultsThatFit) {
  for (const Family& family : Families()) {
    const auto config = ParseTrainConfig(MinimalOf(family).dump());
    ASSERT_TRUE(config.ok()) << family.name << ": " << config.status();
    EXPECT_EQ(config->family, family.name);
  }
  EXPECT_EQ(FindFamily("hdrgan"), FindFamily("vaegan"));
}

TEST(TrainConfigTest, VaeganWithAStyleSetIsItsFormFromPictures) {
  for (const char* name : {"vaegan", "hdrgan", "vaegan-pictures"}) {
    const auto config = ParseTrainConfig(
        Json({{"family", name}, {"steps", 3}, {"data", {{"content", "a"}, {"style", "b"}}}})
            .dump());
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->family, "vaegan-pictures");
    EXPECT_EQ(config->tier, "");
    EXPECT_EQ(config->vaegan.cycle_weight, 10);
  }
  for (const Json& none : {Json(nullptr), Json("")}) {
    const auto config = ParseTrainConfig(
        Json({{"family", "hdrgan"}, {"steps", 3}, {"data", {{"content", "a"}, {"style", none}}}})
            .dump());
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->family, "vaegan");
    EXPECT_EQ(config->vaegan.cycle_weight, 0);
  }
  const auto wrong =
      ParseTrainConfig(R"({"family":"vaegan","steps":3,"data":{"content":"a","style":7}})");
  EXPECT_EQ(FieldOf(wrong.status()), "train.data.style");
}

TEST(TrainConfigTest, TheClassicRecipeBringsItsFigures) {
  const auto classic = [](const char* family, const Json& change) {
    Json json = {{"family", family},
                 {"data", {{"content", "garments"}}},
                 {"pattern", {{"architecture", "classic"}}}};
    json.merge_patch(change);
    const auto config = ParseTrainConfig(json.dump());
    EXPECT_TRUE(config.ok()) << family << ": " << config.status();
    return config.value_or(TrainConfig());
  };
  for (const char* family : {"dcgan", "wgan", "cgan", "vaegan"}) {
    const TrainConfig config = classic(family, Json::object());
    EXPECT_TRUE(config.pattern.classic);
    EXPECT_EQ(config.pattern.latent_size, 100);
    EXPECT_EQ(config.image_size, 56) << family;
    EXPECT_EQ(config.epochs, 50) << family;
    EXPECT_EQ(config.steps, 0) << family;
    EXPECT_EQ(config.learning_rate, std::string(family) == "wgan" ? 1e-4 : 2e-4);
  }
  const TrainConfig told =
      classic("dcgan", {{"steps", 300}, {"image_size", 112}, {"learning_rate", 1e-4}});
  EXPECT_EQ(told.steps, 300);
  EXPECT_EQ(told.epochs, 0);
  EXPECT_EQ(told.image_size, 112);
  EXPECT_EQ(told.learning_rate, 1e-4);
  EXPECT_EQ(classic("dcgan", {{"epochs", 3}}).epochs, 3);
  // As protobuf writes what was left out.
  EXPECT_EQ(classic("dcgan", {{"steps", "0"}, {"epochs", "0"}, {"image_size", 0}}).epochs, 50);
  const auto other = ParseTrainConfig(R"({"family":"dcgan","data":{"content":"a"},"pattern":{}})");
  EXPECT_EQ(FieldOf(other.status()), "train.steps");
}

TEST(TrainConfigTest, FastCutIsThatOfThePaper) {
  const auto config = ParseTrainConfig(
      R"({"family":"cut","steps":3,"data":{"content":"a","style":"b"},"cut":{"fast":true}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cut.nce_weight, 10);
  EXPECT_FALSE(config->cut.identity);
  EXPECT_TRUE(config->cut.flip_equivariance);
  const auto other = ParseTrainConfig(
      R"({"family":"cut","steps":3,"data":{"content":"a","style":"b"},
          "cut":{"fast":true,"nce_weight":3,"identity":true}})");
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->cut.nce_weight, 3);
  EXPECT_TRUE(other->cut.identity);
  EXPECT_TRUE(other->cut.flip_equivariance);
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

TEST(TrainConfigTest, LimitsOfTheWholeNumbers) {
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
  EXPECT_EQ(ParseWith("precision", "PRECISION_FP16")->precision, Precision::kFp16);
  for (const char* int8 : {"int8", "PRECISION_INT8"}) {
    EXPECT_EQ(FieldAtFault("precision", int8), "train.precision");
    EXPECT_THAT(std::string(ParseWith("precision", int8).status().message()),
                testing::HasSubstr("quantize"));
  }
  EXPECT_EQ(FieldAtFault("colour", "red"), "train.colour");
  EXPECT_EQ(FieldAtFault("faststyle", {{"colour", 1}}), "train.faststyle.colour");
  EXPECT_EQ(FieldAtFault("faststyle", 1), "train.faststyle");
  EXPECT_EQ(FieldAtFault("data", {{"content", "c"}, {"style", "s"}, {"path", "/"}}),
            "train.data.path");
}

// CycleGAN's own project calls a weight "lambda_A".
TEST(TrainConfigTest, AnUnknownFieldIsNamedAsItWasWrittenAndTheKnownOnesAreListed) {
  for (const char* key : {"lambda_A", "lambda__a", "lambdaA", "Lambda"}) {
    const absl::Status status = ParseWith(key, 10).status();
    EXPECT_EQ(FieldOf(status), std::string("train.") + key);
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("there are accumulate, "));
  }
  EXPECT_THAT(
      std::string(
          ParseWith("data", {{"content", "c"}, {"style", "s"}, {"path", "/"}}).status().message()),
      testing::HasSubstr("there are content, style, upscale"));
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
  EXPECT_EQ(
      FieldOf(ParseTrainConfig(R"({"family":"faststyle","steps":1,"batch_size":1,"batchSize":2})")
                  .status()),
      "train.batch_size");
}

TEST(TrainConfigTest, OtherTextIsRefused) {
  for (const char* text : {"", "[]", "3", "null", "{", "family: faststyle", "{\"steps\": NaN}"}) {
    EXPECT_EQ(FieldOf(ParseTrainConfig(text).status()), "train") << text;
  }
}

}  // namespace
}  // namespace atelier
