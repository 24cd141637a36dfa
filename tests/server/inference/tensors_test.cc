#include "server/inference/tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "common/errors.h"

namespace atelier::server {
namespace {

using inference::ModelInferRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Input = ModelInferRequest::InferInputTensor;

Input& AddInput(ModelInferRequest& request, const std::string& name, const std::string& datatype,
                const std::vector<std::int64_t>& shape) {
  Input& input = *request.add_inputs();
  input.set_name(name);
  input.set_datatype(datatype);
  input.mutable_shape()->Add(shape.begin(), shape.end());
  return input;
}

ModelInferRequest Raw(const std::string& datatype, const std::vector<std::int64_t>& shape,
                      const std::string& bytes) {
  ModelInferRequest request;
  AddInput(request, "image", datatype, shape);
  request.add_raw_input_contents(bytes);
  return request;
}

std::string Strings(const std::vector<std::string>& elements) {
  std::string raw;
  for (const std::string& element : elements) {
    AppendString(element, raw);
  }
  return raw;
}

std::string Floats(const std::vector<float>& values) {
  std::string raw(values.size() * sizeof(float), '\0');
  std::memcpy(raw.data(), values.data(), raw.size());
  return raw;
}

TEST(TensorsTest, EveryDatatypeIsReadRaw) {
  const std::pair<const char*, std::size_t> types[] = {
      {"BOOL", 1}, {"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8},
      {"INT8", 1}, {"INT16", 2}, {"INT32", 4},  {"INT64", 8},  {"FP16", 2},
      {"BF16", 2}, {"FP32", 4},  {"FP64", 8}};
  for (const auto& [type, bytes] : types) {
    const ModelInferRequest request = Raw(type, {2, 3}, std::string(6 * bytes, 'x'));
    const auto inputs = ReadInputs(request);
    ASSERT_TRUE(inputs.ok()) << type << inputs.status();
    EXPECT_EQ(inputs->front().datatype, type);
    EXPECT_EQ(inputs->front().elements, 6U);
    for (const std::size_t wrong : {6 * bytes - 1, 6 * bytes + 1}) {
      EXPECT_EQ(FieldOf(ReadInputs(Raw(type, {2, 3}, std::string(wrong, 'x'))).status()), "image");
    }
  }
}

TEST(TensorsTest, EveryTypedFieldIsRead) {
  const std::pair<const char*, std::function<void(inference::InferTensorContents&)>> types[] = {
      {"BOOL", [](auto& contents) { contents.add_bool_contents(true); }},
      {"UINT8", [](auto& contents) { contents.add_uint_contents(1); }},
      {"UINT16", [](auto& contents) { contents.add_uint_contents(1); }},
      {"UINT32", [](auto& contents) { contents.add_uint_contents(1); }},
      {"UINT64", [](auto& contents) { contents.add_uint64_contents(1); }},
      {"INT8", [](auto& contents) { contents.add_int_contents(1); }},
      {"INT16", [](auto& contents) { contents.add_int_contents(1); }},
      {"INT32", [](auto& contents) { contents.add_int_contents(1); }},
      {"INT64", [](auto& contents) { contents.add_int64_contents(1); }},
      {"FP32", [](auto& contents) { contents.add_fp32_contents(1); }},
      {"FP64", [](auto& contents) { contents.add_fp64_contents(1); }},
      {"BYTES", [](auto& contents) { contents.add_bytes_contents("a"); }}};
  for (const auto& [type, add] : types) {
    ModelInferRequest request;
    Input& input = AddInput(request, "image", type, {2});
    add(*input.mutable_contents());
    // One is missing.
    EXPECT_EQ(FieldOf(ReadInputs(request).status()), "image") << type;
    add(*input.mutable_contents());
    const auto inputs = ReadInputs(request);
    ASSERT_TRUE(inputs.ok()) << type << inputs.status();
    EXPECT_TRUE(inputs->front().typed);
    // One too many, or one of another type besides.
    ModelInferRequest more = request;
    add(*more.mutable_inputs(0)->mutable_contents());
    EXPECT_EQ(FieldOf(ReadInputs(more).status()), "image") << type;
    for (const auto& [other_type, add_other] : types) {
      ModelInferRequest other = request;
      add_other(*other.mutable_inputs(0)->mutable_contents());
      EXPECT_EQ(FieldOf(ReadInputs(other).status()), "image") << type << other_type;
    }
  }
}

TEST(TensorsTest, HalfFloatsHaveNoTypedField) {
  for (const char* type : {"FP16", "BF16"}) {
    ModelInferRequest request;
    AddInput(request, "image", type, {1}).mutable_contents()->add_fp32_contents(1);
    const absl::Status status = ReadInputs(request).status();
    EXPECT_EQ(FieldOf(status), "image");
    EXPECT_THAT(status.message(), HasSubstr("raw_input_contents"));
  }
}

TEST(TensorsTest, DatatypesThatTheProtocolDoesNotKnowAreRefused) {
  for (const char* type : {"", "FLOAT", "uint8", "TYPE_UINT8", "STRING", "UINT8 "}) {
    EXPECT_EQ(FieldOf(ReadInputs(Raw(type, {1}, "x")).status()), "image") << type;
  }
}

TEST(TensorsTest, ShapesMustHaveDimensionsFromOneOn) {
  const std::vector<std::vector<std::int64_t>> shapes = {{},
                                                         {0},
                                                         {1, 0},
                                                         {-1},
                                                         {1, -1},
                                                         {std::numeric_limits<std::int64_t>::min()},
                                                         {1, 1, 1, 1, 1, 1, 1, 1, 1}};
  for (const auto& shape : shapes) {
    for (const char* type : {"UINT8", "BYTES"}) {
      EXPECT_EQ(FieldOf(ReadInputs(Raw(type, shape, "")).status()), "image") << ShapeText(shape);
      EXPECT_EQ(FieldOf(ReadInputs(Raw(type, shape, "x")).status()), "image") << ShapeText(shape);
    }
  }
}

TEST(TensorsTest, ProductsDoNotOverflow) {
  const std::int64_t huge = std::int64_t{1} << 32;
  const std::vector<std::vector<std::int64_t>> shapes = {
      {huge, huge},  // 2^64 is 0 in 64 bits
      {huge, huge, 1},
      {huge, huge / 2, 2},
      {std::numeric_limits<std::int64_t>::max(), 3},
      {std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::max()},
      {huge / 4 + 1, 4, huge},  // 2^64 + 2^34: small when it wraps
      {static_cast<std::int64_t>(kMaxElements) + 1},
      {static_cast<std::int64_t>(kMaxElements), 2}};
  for (const auto& shape : shapes) {
    for (const char* type : {"UINT8", "FP64", "BYTES"}) {
      EXPECT_EQ(FieldOf(ReadInputs(Raw(type, shape, "")).status()), "image") << ShapeText(shape);
      ModelInferRequest typed;
      AddInput(typed, "image", type, shape);
      EXPECT_EQ(FieldOf(ReadInputs(typed).status()), "image") << ShapeText(shape);
    }
  }
}

TEST(TensorsTest, RawAndTypedContentsTogetherAreRefused) {
  ModelInferRequest request = Raw("BYTES", {1}, Strings({"a"}));
  request.mutable_inputs(0)->mutable_contents()->add_bytes_contents("a");
  EXPECT_EQ(FieldOf(ReadInputs(request).status()), "raw_input_contents");
  // Also where they are in different inputs.
  ModelInferRequest two;
  AddInput(two, "a", "BYTES", {1});
  AddInput(two, "b", "BYTES", {1}).mutable_contents()->add_bytes_contents("b");
  two.add_raw_input_contents(Strings({"a"}));
  EXPECT_EQ(FieldOf(ReadInputs(two).status()), "raw_input_contents");
}

TEST(TensorsTest, ThereIsOneRawElementForEachInput) {
  ModelInferRequest request = Raw("UINT8", {1}, "x");
  request.add_raw_input_contents("y");
  EXPECT_EQ(FieldOf(ReadInputs(request).status()), "raw_input_contents");
  AddInput(request, "b", "UINT8", {1});
  EXPECT_TRUE(ReadInputs(request).ok());
  AddInput(request, "c", "UINT8", {1});
  EXPECT_EQ(FieldOf(ReadInputs(request).status()), "raw_input_contents");
}

TEST(TensorsTest, AnInputWithoutContentsIsRefused) {
  ModelInferRequest request;
  AddInput(request, "image", "BYTES", {1});
  EXPECT_EQ(FieldOf(ReadInputs(request).status()), "image");
}

TEST(TensorsTest, InputsMustBeThereAndHaveNamesOfTheirOwn) {
  EXPECT_EQ(FieldOf(ReadInputs(ModelInferRequest()).status()), "inputs");
  ModelInferRequest unnamed;
  AddInput(unnamed, "", "UINT8", {1});
  EXPECT_EQ(FieldOf(ReadInputs(unnamed).status()), "inputs");
  ModelInferRequest endless;
  AddInput(endless, std::string(1000, 'n'), "UINT8", {1});
  EXPECT_EQ(FieldOf(ReadInputs(endless).status()), "inputs");
  ModelInferRequest twice;
  AddInput(twice, "image", "UINT8", {1});
  AddInput(twice, "image", "UINT8", {1});
  EXPECT_EQ(FieldOf(ReadInputs(twice).status()), "inputs");
  ModelInferRequest many;
  for (int i = 0; i < 1000; ++i) {
    AddInput(many, std::to_string(i), "UINT8", {1});
  }
  EXPECT_EQ(FieldOf(ReadInputs(many).status()), "inputs");
}

TEST(TensorsTest, SharedMemoryIsNotServed) {
  ModelInferRequest request;
  Input& input = AddInput(request, "image", "UINT8", {1});
  (*input.mutable_parameters())["shared_memory_region"].set_string_param("region");
  EXPECT_TRUE(absl::IsUnimplemented(ReadInputs(request).status()));
}

TEST(TensorsTest, ParametersOfTensorsThatMeanNothingAreRefused) {
  ModelInferRequest request = Raw("UINT8", {1}, "x");
  auto& parameters = *request.mutable_inputs(0)->mutable_parameters();
  parameters["content_type"].set_string_param("np");
  EXPECT_TRUE(ReadInputs(request).ok());
  parameters["colour"].set_string_param("rgb");
  EXPECT_EQ(FieldOf(ReadInputs(request).status()), "image");
}

TEST(TensorsTest, StringsAreSplitAtTheirLengths) {
  const ModelInferRequest request = Raw("BYTES", {3, 1}, Strings({"one", "", "three"}));
  const auto inputs = ReadInputs(request);
  ASSERT_TRUE(inputs.ok()) << inputs.status();
  const auto strings = StringsOf(inputs->front());
  ASSERT_TRUE(strings.ok()) << strings.status();
  EXPECT_THAT(*strings, ElementsAre("one", "", "three"));
}

TEST(TensorsTest, StringsThatDoNotFitTheirLengthsAreRefused) {
  const auto read = [](std::int64_t elements, const std::string& raw) {
    const ModelInferRequest request = Raw("BYTES", {elements}, raw);
    const auto inputs = ReadInputs(request);
    return inputs.ok() ? StringsOf(inputs->front()).status() : inputs.status();
  };
  EXPECT_TRUE(read(1, Strings({"one"})).ok());
  EXPECT_EQ(FieldOf(read(2, Strings({"one"}))), "image");             // one is missing
  EXPECT_EQ(FieldOf(read(1, Strings({"one", "two"}))), "image");      // one too many
  EXPECT_EQ(FieldOf(read(1, "")), "image");                           // no length
  EXPECT_EQ(FieldOf(read(1, std::string("\1\0\0", 3))), "image");     // half a length
  EXPECT_EQ(FieldOf(read(1, std::string("\2\0\0\0a", 5))), "image");  // past the end
  EXPECT_EQ(FieldOf(read(1,
                         "\xff\xff\xff\xff"
                         "abcd")),
            "image");  // 4 GiB past the end
  EXPECT_EQ(FieldOf(read(2, std::string("\xfe\xff\xff\xff", 4) + std::string(10, 'a'))), "image");
  EXPECT_EQ(FieldOf(read(1 << 20, Strings({"one"}))), "image");  // refused before it is read
}

TEST(TensorsTest, IntegersComeRawAndTyped) {
  std::string raw(16, '\0');
  const std::int64_t values[] = {-1, std::int64_t{1} << 40};
  std::memcpy(raw.data(), values, raw.size());
  const ModelInferRequest request = Raw("INT64", {2, 1}, raw);
  EXPECT_THAT(IntegersOf(ReadInputs(request)->front()), ElementsAre(-1, std::int64_t{1} << 40));
  ModelInferRequest typed;
  Input& input = AddInput(typed, "seed", "INT64", {2});
  input.mutable_contents()->add_int64_contents(3);
  input.mutable_contents()->add_int64_contents(-4);
  EXPECT_THAT(IntegersOf(ReadInputs(typed)->front()), ElementsAre(3, -4));
}

TEST(TensorsTest, BytesAreCutOutOfABatch) {
  const ModelInferRequest request = Raw("UINT8", {2, 3}, "abcdef");
  EXPECT_EQ(*BytesOf(ReadInputs(request)->front(), 3, 3), "def");
  ModelInferRequest typed;
  Input& input = AddInput(typed, "image", "UINT8", {3});
  for (const std::uint32_t value : {0U, 255U, 65U}) {
    input.mutable_contents()->add_uint_contents(value);
  }
  EXPECT_EQ(*BytesOf(ReadInputs(typed)->front(), 1, 2),
            "\xff"
            "A");
  input.mutable_contents()->set_uint_contents(2, 256);
  EXPECT_EQ(FieldOf(BytesOf(ReadInputs(typed)->front(), 0, 3).status()), "image");
}

TEST(TensorsTest, FloatsAreKeptWithinZeroAndOne) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {-0.5F, 0.25F, 1.5F, infinity, -infinity, 1.0F};
  const std::string wanted = Floats({0, 0.25F, 1, 1, 0, 1});
  const ModelInferRequest request = Raw("FP32", {6}, Floats(values));
  EXPECT_EQ(*UnitFloatsOf(ReadInputs(request)->front(), 0, 6), wanted);
  EXPECT_EQ(*UnitFloatsOf(ReadInputs(request)->front(), 1, 2), Floats({0.25F, 1}));
  ModelInferRequest typed;
  AddInput(typed, "image", "FP32", {6})
      .mutable_contents()
      ->mutable_fp32_contents()
      ->Add(values.begin(), values.end());
  EXPECT_EQ(*UnitFloatsOf(ReadInputs(typed)->front(), 0, 6), wanted);
}

TEST(TensorsTest, WhatIsNotANumberIsRefused) {
  for (const float nan :
       {std::nanf(""), -std::nanf("1"), std::numeric_limits<float>::signaling_NaN()}) {
    const ModelInferRequest request = Raw("FP32", {3}, Floats({0.5F, nan, 0.5F}));
    EXPECT_EQ(FieldOf(UnitFloatsOf(ReadInputs(request)->front(), 0, 3).status()), "image");
    EXPECT_TRUE(UnitFloatsOf(ReadInputs(request)->front(), 2, 1).ok());
  }
}

TEST(TensorsTest, WhatACallerWroteIsShownShortAndPrintable) {
  EXPECT_EQ(Shown("image"), "\"image\"");
  EXPECT_EQ(Shown("a\n\x01"), "\"a\\n\\x01\"");
  EXPECT_LT(Shown(std::string(10'000, 'x')).size(), 100U);
}

}  // namespace
}  // namespace atelier::server
