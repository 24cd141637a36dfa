#include "common/rpc/proto_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "atelier/v1/models.pb.h"
#include "atelier/v1/training.pb.h"
#include "common/errors.h"

namespace atelier {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ProtoJsonTest, DefaultsAreWrittenInSnakeCaseAndUnsetOptionsAreNot) {
  v1::TrainSpec spec;
  spec.set_steps(7);
  const std::string json = ToJson(spec);
  EXPECT_THAT(json, HasSubstr(R"("steps":"7","batch_size":0)"));
  EXPECT_THAT(json, HasSubstr(R"("precision":"PRECISION_UNSPECIFIED")"));
  EXPECT_THAT(json, Not(HasSubstr("adam_beta1")));
  EXPECT_THAT(json, Not(HasSubstr("\n")));
}

TEST(ProtoJsonTest, BothCasesAreRead) {
  v1::JobSpec spec;
  ASSERT_TRUE(FromJson(R"({"job_id":"a","outputModel":"b","train":{"imageSize":256}})", spec).ok());
  EXPECT_EQ(spec.job_id(), "a");
  EXPECT_EQ(spec.output_model(), "b");
  EXPECT_EQ(spec.train().image_size(), 256u);
}

TEST(ProtoJsonTest, WhatIsWrittenIsReadBack) {
  v1::Model model;
  model.set_name("oil");
  model.set_parameters(11378179);
  model.add_labels("stable");
  v1::Model read;
  ASSERT_TRUE(FromJson(ToJson(model), read).ok());
  EXPECT_EQ(ToJson(read), ToJson(model));
}

TEST(ProtoJsonTest, ErrorsNameTheField) {
  for (const auto& [json, message] :
       {std::pair{R"({"jobid":"a"})",
                  "jobid: there is no such field; there are job_id, output_model, "
                  "train, distil, prune, quantize, evaluate, sweep, stylize_set, priority, "
                  "workers"},
        {R"({"train":{"data":{"path":[1]}}})",
         "train.data.path: there is no such field; there are content, style, upscale"},
        {R"({"job_id":1})", "job_id: 1 is not a string"},
        {R"({"train":{"steps":"many"}})",
         "train.steps: \"many\" is not a whole number of 0 or above that fits"},
        {R"({"train":{"batch_size":1.5}})",
         "train.batch_size: 1.5 is not a whole number of 0 or above that fits"},
        {R"({"train":{"learning_rate":"x"}})", "train.learning_rate: \"x\" is not a number"},
        {R"({"train":{"precision":"fp9"}})",
         "train.precision: \"fp9\" is not one of \"PRECISION_FP32\", \"PRECISION_BF16\", "
         "\"PRECISION_FP16\", \"PRECISION_INT8\""},
        {R"({"train":{"data":"x"}})", "train.data: \"x\" is not what belongs here"}}) {
    v1::JobSpec spec;
    const absl::Status status = FromJson(json, spec);
    EXPECT_EQ(status.message(), message);
    EXPECT_TRUE(FieldOf(status).has_value());
    EXPECT_EQ(spec.ByteSizeLong(), 0u);
  }
}

TEST(ProtoJsonTest, AnUnknownFieldIsNamedAsItWasWritten) {
  for (const char* key : {"lambda_A", "lambdaA", "lambda__a"}) {
    v1::JobSpec spec;
    const absl::Status status =
        FromJson(R"({"train":{"cyclegan":{")" + std::string(key) + R"(":10}}})", spec);
    EXPECT_EQ(FieldOf(status), "train.cyclegan." + std::string(key));
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("there are cycle_weight, identity_weight"));
  }
}

TEST(ProtoJsonTest, OtherTextIsNoJson) {
  for (const char* json : {"", "{", "[]", "nope", R"({"job_id":"a"} more)"}) {
    v1::JobSpec spec;
    const absl::Status status = FromJson(json, spec);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << json;
    EXPECT_THAT(std::string(status.message()), HasSubstr("not valid JSON: ")) << json;
  }
}

}  // namespace
}  // namespace atelier
