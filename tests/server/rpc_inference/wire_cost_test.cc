#include "server/rpc/wire_cost.h"

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include <string>

#include "common/errors.h"
#include "inference/grpc_service.pb.h"

namespace atelier::server {
namespace {

using inference::ModelInferRequest;

absl::Status Check(const std::string& bytes) {
  google::protobuf::io::ArrayInputStream wire(bytes.data(), static_cast<int>(bytes.size()),
                                              1000);  // parts that do not fit the fields
  return CheckWireCost(wire, bytes.size(), *ModelInferRequest::descriptor());
}

// The field that is at fault; "" for a message that is let through.
std::string Culprit(const ModelInferRequest& request) {
  return FieldOf(Check(request.SerializeAsString())).value_or("");
}

TEST(WireCostTest, WhatRequestsAreMadeOfIsLetThrough) {
  EXPECT_TRUE(Check("").ok());
  ModelInferRequest request;
  request.set_model_name("oil");
  (*request.mutable_parameters())["atelier_strength"].set_double_param(0.5);
  for (int i = 0; i < 16; ++i) {
    auto& input = *request.add_inputs();
    input.set_name("image");
    input.add_shape(1);
    input.add_shape(-1);
    (*input.mutable_parameters())["binary_data_size"].set_int64_param(1);
    request.add_raw_input_contents(std::string(1'000'000, 'x'));
  }
  EXPECT_EQ(Culprit(request), "");
  // A picture as typed numbers of one byte each, which are four in memory.
  for (int i = 0; i < 3'000'000; ++i) {
    request.mutable_inputs(0)->mutable_contents()->add_uint_contents(i % 128);
    request.mutable_inputs(1)->mutable_contents()->add_fp32_contents(0.5F);
  }
  EXPECT_EQ(Culprit(request), "");
}

TEST(WireCostTest, SmallMessagesMayHaveManyElements) {
  ModelInferRequest request;
  for (int i = 0; i < 3000; ++i) {
    request.add_inputs();
  }
  EXPECT_EQ(Culprit(request), "") << "is refused by what counts inputs";
}

TEST(WireCostTest, ElementsThatGrowInMemoryAreNamed) {
  constexpr int kMany = 1'000'000;
  ModelInferRequest inputs;
  ModelInferRequest texts;
  ModelInferRequest numbers;
  ModelInferRequest nested;
  for (int i = 0; i < kMany; ++i) {
    inputs.add_inputs();
    texts.add_raw_input_contents("");
  }
  auto& tensor = *numbers.add_inputs();
  auto& deep = *nested.add_inputs();
  for (int i = 0; i < kMany; ++i) {
    tensor.mutable_contents()->add_int64_contents(1);
    deep.mutable_contents()->add_bytes_contents("");
  }
  EXPECT_EQ(Culprit(inputs), "inputs");
  EXPECT_EQ(Culprit(texts), "raw_input_contents");
  EXPECT_EQ(Culprit(numbers), "int64_contents");
  EXPECT_EQ(Culprit(nested), "bytes_contents");
}

TEST(WireCostTest, FieldsThatAreNotKnownCountToo) {
  std::string numbers;
  std::string texts;
  for (int i = 0; i < 200'000; ++i) {
    numbers += std::string("\xf8\x7f\x01", 3);
    texts += std::string("\xfa\x7f\x01", 3) + "a";
  }
  EXPECT_EQ(FieldOf(Check(numbers)), "message");
  EXPECT_EQ(FieldOf(Check(texts)), "message");
}

TEST(WireCostTest, BytesThatAreNoMessageAreSaidToBeNone) {
  ModelInferRequest request;
  request.set_model_name("oil");
  request.add_inputs()->set_name("image");
  const std::string good = request.SerializeAsString();
  ASSERT_TRUE(Check(good).ok());
  const std::string bad[] = {
      good.substr(0, good.size() - 1),
      std::string("\0\0", 2),      // a field number 0
      "\x2b\x2c",                  // a group
      "\x2a\xff\xff\xff\xff\x0f",  // a length past everything
      std::string("\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12),  // no number
  };
  for (const std::string& bytes : bad) {
    const absl::Status status = Check(bytes);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_FALSE(FieldOf(status).has_value()) << status;
  }
}

}  // namespace
}  // namespace atelier::server
