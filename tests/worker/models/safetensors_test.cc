#include "worker/models/safetensors.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstring>
#include <string>
#include <vector>

#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/models/golden_files.h"

namespace atelier::models {
namespace {

std::string File(const std::string& header, const std::string& data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + data;
}

TensorMap Samples() {
  return {{"b.float", torch::tensor({1.5F, -2.0F, 3.0F}).reshape({3, 1})},
          {"a.byte", torch::tensor({1, 2, 255}, torch::kByte)},
          {"half", torch::tensor({0.5F}).to(torch::kHalf)},
          {"bfloat", torch::tensor({-8.0F}).to(torch::kBFloat16)},
          {"double", torch::tensor(0.25, torch::kDouble)},
          {"long", torch::tensor({std::int64_t{1} << 40})},
          {"int", torch::tensor({-3}, torch::kInt)},
          {"short", torch::tensor({-4}, torch::kShort)},
          {"char", torch::tensor({-5}, torch::kChar)},
          {"empty", torch::empty({0, 4})},
          {"turned", torch::arange(6, torch::kFloat).reshape({2, 3}).t()}};
}

TEST(Safetensors, ReadsBackWhatItWrote) {
  const test::TempDir directory;
  const TensorMap samples = Samples();
  ASSERT_TRUE(
      WriteSafetensors(directory / "w.safetensors", samples, {{"format", "pt"}, {"note", "ä\n\""}})
          .ok());
  const absl::StatusOr<Safetensors> read = ReadSafetensors(directory / "w.safetensors", kMaxBytes);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->tensors.size(), samples.size());
  for (const auto& [name, tensor] : samples) {
    EXPECT_EQ(read->tensors.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(torch::equal(read->tensors.at(name), tensor)) << name;
    EXPECT_TRUE(read->tensors.at(name).is_contiguous()) << name;
  }
  EXPECT_EQ(read->metadata.at("note"), "ä\n\"");
}

TEST(Safetensors, WritesEqualTensorsAsEqualAlignedBytes) {
  const std::string first = SerializeSafetensors(Samples(), {{"k", "v"}}).value();
  EXPECT_EQ(first, SerializeSafetensors(Samples(), {{"k", "v"}}).value());
  std::uint64_t header = 0;
  std::memcpy(&header, first.data(), sizeof(header));
  EXPECT_EQ(header % 8, 0u);
}

TEST(Safetensors, RefusesToWriteWhatTheFormatCannotHold) {
  EXPECT_EQ(SerializeSafetensors({{"x", torch::Tensor()}}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      SerializeSafetensors({{"x", torch::zeros({1}, torch::kComplexFloat)}}, {}).status().code(),
      absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(SerializeSafetensors({{"__metadata__", torch::zeros({1})}}, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Safetensors, ReadsAnEmptyFileOfNoTensors) {
  EXPECT_TRUE(ParseSafetensors(File("{}", "")).ok());
  EXPECT_TRUE(ParseSafetensors(File("{}   ", "")).ok());
}

TEST(Safetensors, RefusesFilesThatAreTooLarge) {
  const test::TempDir directory;
  ASSERT_TRUE(WriteSafetensors(directory / "w", Samples(), {}).ok());
  EXPECT_EQ(ReadSafetensors(directory / "w", 10).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadSafetensors(directory / "none", 10).status().code(), absl::StatusCode::kNotFound);
}

struct Malformed {
  std::string name;
  std::string bytes;
};

std::string Entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

std::vector<Malformed> MalformedFiles() {
  const std::string four(4, 'x');
  const std::string eight(8, 'x');
  const std::string good = Entry("F32", "[1]", "[0,4]");
  std::string huge = File("{}", "");
  huge.replace(0, 8, std::string(8, '\xff'));
  std::string long_header = File("{}", "");
  const std::uint64_t seventeen_mib = 17u << 20;
  std::memcpy(long_header.data(), &seventeen_mib, 8);
  return {
      {"Empty", ""},
      {"SevenBytes", std::string(7, '\0')},
      {"NoHeader", std::string(8, '\0')},
      {"HugeHeader", huge},
      {"LongHeader", long_header + std::string(seventeen_mib, ' ')},
      {"HeaderCutOff", File(R"({"a":)" + good + "}", four).substr(0, 30)},
      {"NotJson", File("{\"a\":", "")},
      {"JsonThenMore", File("{}{}", "")},
      {"Array", File("[]", "")},
      {"NotUtf8", File("{\"\xff\":" + good + "}", four)},
      {"DeeplyNested",
       File(R"({"a":)" + std::string(100000, '[') + std::string(100000, ']') + "}", "")},
      {"EntryIsNumber", File(R"({"a":1})", "")},
      {"EntryLacksShape", File(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", four)},
      {"EntryHasMore",
       File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", four)},
      {"UnknownType", File(R"({"a":)" + Entry("F31", "[1]", "[0,4]") + "}", four)},
      {"TypeIsNumber", File(R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", four)},
      {"NegativeSide", File(R"({"a":)" + Entry("F32", "[-1]", "[0,4]") + "}", four)},
      {"FractionalSide", File(R"({"a":)" + Entry("F32", "[1.0]", "[0,4]") + "}", four)},
      {"ShapeIsText", File(R"({"a":)" + Entry("F32", "\"1\"", "[0,4]") + "}", four)},
      {"TooManySides", File(R"({"a":)" + Entry("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") + "}", four)},
      {"ShapeOverflows",
       File(R"({"a":)" + Entry("F32", "[4294967296,4294967296,4294967296]", "[0,4]") + "}", four)},
      {"ShapeOverflowsToFit",
       File(R"({"a":)" + Entry("F32", "[4611686018427387905]", "[0,4]") + "}", four)},
      {"ZeroHidesOverflow",
       File(R"({"a":)" + Entry("F32", "[0,9223372036854775807,9223372036854775807]", "[0,0]") + "}",
            "")},
      {"ShapeTooLarge", File(R"({"a":)" + Entry("F32", "[2]", "[0,4]") + "}", four)},
      {"ShapeTooSmall", File(R"({"a":)" + Entry("F32", "[1]", "[0,8]") + "}", eight)},
      {"OneOffset", File(R"({"a":)" + Entry("F32", "[1]", "[0]") + "}", four)},
      {"OffsetsTurned", File(R"({"a":)" + Entry("F32", "[1]", "[4,0]") + "}", four)},
      {"OffsetBeyondEnd", File(R"({"a":)" + Entry("F32", "[1]", "[4,8]") + "}", four)},
      {"OffsetOverflows",
       File(R"({"a":)" + Entry("F32", "[1]", "[0,18446744073709551615]") + "}", four)},
      {"DataCutOff", File(R"({"a":)" + good + "}", "xxx")},
      {"DataLeftOver", File(R"({"a":)" + good + "}", eight)},
      {"Gap",
       File(R"({"a":)" + good + R"(,"b":)" + Entry("F32", "[1]", "[8,12]") + "}", four + eight)},
      {"GapAtStart", File(R"({"a":)" + Entry("F32", "[1]", "[4,8]") + "}", eight)},
      {"Overlap", File(R"({"a":)" + good + R"(,"b":)" + Entry("F32", "[1]", "[0,4]") + "}", four)},
      {"DuplicateName",
       File(R"({"a":)" + good + R"(,"a":)" + Entry("F32", "[1]", "[4,8]") + "}", eight)},
      {"DuplicateKey",
       File(R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four)},
      {"MetadataIsNumber", File(R"({"__metadata__":{"a":1}})", "")},
      {"MetadataIsText", File(R"({"__metadata__":"a"})", "")},
  };
}

class MalformedSafetensors : public testing::TestWithParam<Malformed> {};
INSTANTIATE_TEST_SUITE_P(Corpus, MalformedSafetensors, testing::ValuesIn(MalformedFiles()),
                         [](const auto& info) { return info.param.name; });

TEST_P(MalformedSafetensors, IsDataLoss) {
  EXPECT_EQ(ParseSafetensors(GetParam().bytes).status().code(), absl::StatusCode::kDataLoss);
}

TEST(Safetensors, EveryCutOffFileIsDataLoss) {
  const std::string whole = SerializeSafetensors(Samples(), {{"k", "v"}}).value();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_EQ(ParseSafetensors(std::string_view(whole).substr(0, length)).status().code(),
              absl::StatusCode::kDataLoss)
        << length;
  }
}

}  // namespace
}  // namespace atelier::models
