#include "common/model_spec.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/files.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"

namespace atelier {
namespace {

using Json = nlohmann::json;

class ModelSpecTest : public ::testing::Test {
 protected:
  static ModelSpec Example() {
    ModelSpec spec;
    spec.family = "faststyle";
    spec.tier = "lite";
    spec.architecture.generator = "lite";
    spec.parameters = 143571;
    spec.default_precision = Precision::kBf16;
    spec.weights_sha256 = Sha256Hex("weights");
    spec.weights_bytes = 600'000;
    spec.job_id = "oil-1";
    spec.classes = {"dress", "coat"};
    spec.vocabulary = {"blue", "dress"};
    return spec;
  }

  absl::Status ReadText(const std::string& text) {
    EXPECT_TRUE(WriteFileAtomically(folder_ / "model.json", text).ok());
    return ReadModelSpec(folder_.path()).status();
  }

  Json Written() {
    EXPECT_TRUE(WriteModelSpec(folder_.path(), Example()).ok());
    return Json::parse(*ReadFile(folder_ / "model.json", 1 << 20));
  }

  test::TempDir folder_;
};

TEST_F(ModelSpecTest, WhatIsWrittenIsReadBack) {
  const ModelSpec spec = Example();
  ASSERT_TRUE(WriteModelSpec(folder_.path(), spec).ok());
  const auto read = ReadModelSpec(folder_.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->family, spec.family);
  EXPECT_EQ(read->tier, spec.tier);
  EXPECT_EQ(read->architecture.generator, spec.architecture.generator);
  EXPECT_EQ(read->classes, spec.classes);
  EXPECT_EQ(read->vocabulary, spec.vocabulary);
  EXPECT_EQ(read->capabilities, spec.capabilities);
  EXPECT_EQ(read->parameters, spec.parameters);
  EXPECT_EQ(read->default_precision, spec.default_precision);
  EXPECT_EQ(read->weights_sha256, spec.weights_sha256);
  EXPECT_EQ(read->weights_bytes, spec.weights_bytes);
  EXPECT_EQ(read->job_id, spec.job_id);
}

TEST_F(ModelSpecTest, AFolderWithoutItIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ReadModelSpec(folder_.path()).status()));
}

TEST_F(ModelSpecTest, TextThatIsNoObjectIsDataLoss) {
  for (const char* text : {"", "{", "[]", "null", "model"}) {
    EXPECT_TRUE(absl::IsDataLoss(ReadText(text))) << text;
  }
  EXPECT_TRUE(absl::IsDataLoss(ReadText(std::string(2 << 20, ' '))));
}

TEST_F(ModelSpecTest, EveryKeyIsNeeded) {
  const Json whole = Written();
  ASSERT_EQ(whole.size(), 20u);
  const std::set<std::string> may_be_missing = {
      "base_channels", "norm",        "antialias", "resize_convolution", "multi_level", "int8",
      "image_size",    "latent_size", "classes",   "vocabulary"};
  for (const auto& [key, value] : whole.items()) {
    Json json = whole;
    json.erase(key);
    EXPECT_EQ(absl::IsDataLoss(ReadText(json.dump())), !may_be_missing.contains(key)) << key;
    json[key] = Json::object();
    EXPECT_TRUE(absl::IsDataLoss(ReadText(json.dump()))) << key;
  }
}

TEST_F(ModelSpecTest, OnlyAnInt8NetworkIsServedInInt8) {
  ModelSpec spec = Example();
  spec.architecture = {.generator = "resnet-9", .int8 = true};
  spec.default_precision = Precision::kInt8;
  ASSERT_TRUE(WriteModelSpec(folder_.path(), spec).ok());
  const auto read = ReadModelSpec(folder_.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->architecture, spec.architecture);
  EXPECT_EQ(read->default_precision, Precision::kInt8);
  for (const auto& [key, value] :
       {std::pair<const char*, Json>{"int8", false}, {"default_precision", "bf16"}}) {
    Json json = Json::parse(FormatModelSpec(spec));
    json[key] = value;
    EXPECT_TRUE(absl::IsDataLoss(ReadText(json.dump()))) << key;
  }
}

TEST_F(ModelSpecTest, ValuesThatMakeNoSenseAreDataLoss) {
  const Json whole = Written();
  for (const auto& [key, value] : {std::pair<const char*, Json>{"format", 2},
                                   {"parameters", -1},
                                   {"default_precision", "fp64"},
                                   {"default_precision", "fp16"},
                                   {"weights_sha256", "abc"},
                                   {"weights_sha256", std::string(64, 'G')},
                                   {"capabilities", Json::array({1})},
                                   {"base_channels", 1'000'000},
                                   {"image_size", 100'000},
                                   {"latent_size", 1'000'000},
                                   {"classes", Json::array({1})}}) {
    Json json = whole;
    json[key] = value;
    EXPECT_TRUE(absl::IsDataLoss(ReadText(json.dump()))) << key << " " << value;
  }
}

}  // namespace
}  // namespace atelier
