#include "common/errors.h"

#include <gtest/gtest.h>

namespace atelier {
namespace {

TEST(ErrorsTest, AFieldErrorNamesItsField) {
  const absl::Status status = InvalidField("train.data.style", "is required");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(), "train.data.style: is required");
  EXPECT_EQ(FieldOf(status), "train.data.style");
  EXPECT_EQ(RetryDelayOf(status), std::nullopt);
  EXPECT_FALSE(ResourceOf(status).has_value());
}

TEST(ErrorsTest, AComplaintCanBeAboutAnotherField) {
  const absl::Status status = AboutField(InvalidField("image", "is a GIF"), "style_image");
  EXPECT_EQ(status.message(), "style_image: is a GIF");
  EXPECT_EQ(FieldOf(status), "style_image");
  EXPECT_EQ(AboutField(absl::InternalError("x"), "style_image"), absl::InternalError("x"));
}

TEST(ErrorsTest, ARetryTellsItsDelay) {
  const absl::Status status = RetryLater(absl::Milliseconds(250), "the queue is full");
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(RetryDelayOf(status), absl::Milliseconds(250));
}

TEST(ErrorsTest, AMissingResourceTellsTypeAndName) {
  const absl::Status status = NotFoundResource("model", "oil", "there is no model \"oil\"");
  EXPECT_TRUE(absl::IsNotFound(status));
  ASSERT_TRUE(ResourceOf(status).has_value());
  EXPECT_EQ(ResourceOf(status)->type, "model");
  EXPECT_EQ(ResourceOf(status)->name, "oil");
}

TEST(ErrorsTest, PlainStatusesCarryNoFacts) {
  EXPECT_EQ(FieldOf(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(FieldOf(absl::InternalError("x")), std::nullopt);
}

}  // namespace
}  // namespace atelier
