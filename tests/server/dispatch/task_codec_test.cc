#include "server/dispatch/link/task_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <variant>

#include "common/errors.h"
#include "server/queue/load_failure.h"
#include "tests/server/dispatch/link_fakes.h"
#include "tests/server/support/stylize_fakes.h"

namespace atelier::server {
namespace {

internal::v1::StylizeResult Result() { return testing::GoodResult(7).stylize_result(); }

TEST(TaskMessageTest, PastDeadlineIsZeroMilliseconds) {
  const auto message = TaskMessage(7, testing::SampleWork(), -absl::Seconds(1));
  EXPECT_EQ(message.stylize_task().deadline_ms(), 0U);
}

TEST(TaskMessageTest, AbsentFormatIsUnspecified) {
  StylizeWork work = testing::SampleWork();
  EXPECT_EQ(TaskMessage(7, work, absl::Seconds(1)).stylize_task().format(),
            v1::IMAGE_FORMAT_UNSPECIFIED);
  work.format = ImageFormat::kWebp;
  EXPECT_EQ(TaskMessage(7, work, absl::Seconds(1)).stylize_task().format(), v1::IMAGE_FORMAT_WEBP);
}

TEST(TaskMessageTest, PatternsTellAllThatWasDrawn) {
  GenerateWork work = testing::SampleGenerateWork();
  work.words = {"blue", "dress"};
  work.truncation = 0.5;
  work.size = 128;
  const auto message = TaskMessage(9, work, absl::Seconds(1)).generate_task();
  EXPECT_EQ(message.task_id(), 9U);
  EXPECT_EQ(message.model().name(), "florals");
  EXPECT_EQ(message.deadline_ms(), 1000U);
  EXPECT_THAT(message.seeds(), ::testing::ElementsAre(7, 8));
  EXPECT_THAT(message.labels(), ::testing::ElementsAre(0, 1));
  EXPECT_THAT(message.words(), ::testing::ElementsAre("blue", "dress"));
  EXPECT_EQ(message.truncation(), 0.5);
  EXPECT_EQ(message.size(), 128U);
  EXPECT_EQ(message.format(), v1::IMAGE_FORMAT_PNG);
  EXPECT_FALSE(message.has_interpolate_to());
  work.interpolate_to = 0;
  EXPECT_TRUE(TaskMessage(9, work, absl::Seconds(1)).generate_task().has_interpolate_to());
}

TEST(OutcomeOfTest, PatternsComeWholeOrAreAViolation) {
  internal::v1::GenerateResult result;
  result.set_format(v1::IMAGE_FORMAT_PNG);
  result.set_precision(v1::PRECISION_BF16);
  result.set_encode_s(0.25);
  for (int i = 0; i < 2; ++i) {
    internal::v1::GeneratedPicture& picture = *result.add_pictures();
    picture.set_image("\x89PNG\r\n\x1a\n and so on");
    picture.set_width(64);
    picture.set_height(64);
  }
  const auto outcome = OutcomeOf(result);
  ASSERT_TRUE(outcome.ok() && outcome->ok());
  const auto& generated = std::get<GenerateOutcome>(outcome->value());
  ASSERT_EQ(generated.pictures.size(), 2U);
  EXPECT_EQ(generated.pictures[1].width, 64U);
  EXPECT_EQ(generated.precision, Precision::kBf16);
  result.set_precision(v1::PRECISION_INT8);
  EXPECT_EQ(std::get<GenerateOutcome>(OutcomeOf(result)->value()).precision, Precision::kInt8);
  EXPECT_EQ(generated.encode_s, 0.25);
  result.mutable_pictures(1)->set_height(0);
  EXPECT_FALSE(OutcomeOf(result).ok());
  result.mutable_pictures(1)->set_height(64);
  result.mutable_pictures(1)->set_image("no picture");
  EXPECT_FALSE(OutcomeOf(result).ok());
}

TEST(OutcomeOfTest, GoodResultKeepsEverything) {
  internal::v1::StylizeResult result = Result();
  result.add_warnings("the colour profile was damaged");
  result.set_compute_s(0.5);
  const auto outcome = OutcomeOf(result);
  ASSERT_TRUE(outcome.ok() && outcome->ok());
  const auto& stylized = std::get<StylizeOutcome>(outcome->value());
  EXPECT_EQ(stylized.image, result.image());
  EXPECT_EQ(stylized.format, ImageFormat::kJpeg);
  EXPECT_EQ(stylized.height, 48U);
  EXPECT_EQ(stylized.compute_s, 0.5);
  EXPECT_EQ(stylized.warnings.size(), 1U);
}

TEST(OutcomeOfTest, ImpossibleResultsAreViolations) {
  internal::v1::StylizeResult result = Result();
  result.set_width(0);
  EXPECT_FALSE(OutcomeOf(result).ok());
  result = Result();
  result.set_height(100000);
  EXPECT_FALSE(OutcomeOf(result).ok());
  result = Result();
  result.set_compute_s(std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(OutcomeOf(result).ok());
  result = Result();
  result.set_load_s(-1);
  EXPECT_FALSE(OutcomeOf(result).ok());
  result = Result();
  result.set_format(v1::IMAGE_FORMAT_PNG);
  EXPECT_FALSE(OutcomeOf(result).ok());
  result = Result();
  result.clear_image();
  EXPECT_FALSE(OutcomeOf(result).ok());
  result = Result();
  result.set_precision(v1::PRECISION_UNSPECIFIED);
  EXPECT_FALSE(OutcomeOf(result).ok());
  result = Result();
  result.set_code(17);
  EXPECT_FALSE(OutcomeOf(result).ok());
}

TEST(OutcomeOfTest, FailureNamesTheFieldOnce) {
  internal::v1::StylizeResult result;
  result.set_code(static_cast<std::uint32_t>(absl::StatusCode::kInvalidArgument));
  result.set_field("image");
  result.set_message("image: is truncated");
  const auto outcome = OutcomeOf(result);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(FieldOf(outcome->status()), "image");
  EXPECT_EQ(std::string(outcome->status().message()), "image: is truncated");
}

TEST(OutcomeOfTest, AFailedLoadIsToldFromAFailedRequest) {
  internal::v1::StylizeResult stylize;
  stylize.set_code(static_cast<std::uint32_t>(absl::StatusCode::kInternal));
  EXPECT_FALSE(IsLoadFailure(OutcomeOf(stylize)->status()));
  stylize.set_model_failed(true);
  EXPECT_TRUE(IsLoadFailure(OutcomeOf(stylize)->status()));
  internal::v1::GenerateResult generate;
  generate.set_code(static_cast<std::uint32_t>(absl::StatusCode::kDataLoss));
  generate.set_model_failed(true);
  EXPECT_TRUE(IsLoadFailure(OutcomeOf(generate)->status()));
  EXPECT_TRUE(absl::IsDataLoss(OutcomeOf(generate)->status()));
}

TEST(OutcomeOfTest, CodesThatStylizeDoesNotDocumentBecomeInternal) {
  internal::v1::StylizeResult result;
  result.set_code(static_cast<std::uint32_t>(absl::StatusCode::kUnauthenticated));
  result.set_message("/secret/path");
  const auto outcome = OutcomeOf(result);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(std::string(outcome->status().message()).find("secret"), std::string::npos);
}

TEST(OutcomeOfTest, EndlessSentencesAreCutBetweenCharacters) {
  internal::v1::StylizeResult result;
  result.set_code(static_cast<std::uint32_t>(absl::StatusCode::kInternal));
  std::string sentence = "a";
  while (sentence.size() < 2000) {
    sentence += "\u00e4";
  }
  result.set_message(sentence);
  const auto outcome = OutcomeOf(result);
  ASSERT_TRUE(outcome.ok());
  const std::string message(outcome->status().message());
  EXPECT_EQ(message.size(), 511U);
  EXPECT_EQ(message, sentence.substr(0, 511));
}

}  // namespace
}  // namespace atelier::server
