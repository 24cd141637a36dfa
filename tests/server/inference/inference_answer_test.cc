#include "server/inference/inference_answer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/server/support/stylize_fakes.h"

namespace atelier::server {
namespace {

// So many restyled pictures of so many bytes each.
absl::Status FillOf(std::size_t pictures, std::size_t bytes,
                    inference::ModelInferResponse& response) {
  Inference inference;
  inference.kind = InferenceKind::kStylize;
  inference.shape = {static_cast<std::int64_t>(pictures), 1};
  std::vector<WorkAnswer> answers(pictures);
  for (WorkAnswer& answer : answers) {
    answer.outcome = testing::SampleOutcome(std::string(bytes, 'x'));
  }
  return FillAnswer(inference, std::move(answers), response);
}

// Not RESOURCE_EXHAUSTED, which clients try again: it will not get better.
TEST(InferenceAnswerTest, ABatchThatNoMessageCanHoldIsOutOfRange) {
  inference::ModelInferResponse response;
  const absl::Status status = FillOf(4, 17 << 20, response);
  EXPECT_TRUE(absl::IsOutOfRange(status)) << status;
}

TEST(InferenceAnswerTest, ABatchUpToThatIsOneTensor) {
  inference::ModelInferResponse response;
  EXPECT_EQ(FillOf(2, 1000, response), absl::OkStatus());
  ASSERT_EQ(response.raw_output_contents_size(), 1);
  EXPECT_EQ(response.raw_output_contents(0).size(), 2 * (4 + 1000));
}

}  // namespace
}  // namespace atelier::server
