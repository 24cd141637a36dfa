#include "common/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>

namespace atelier {
namespace {

using ::testing::ElementsAre;

TEST(TextTest, SplitsAtEverySeparator) {
  EXPECT_THAT(SplitText("a/b//c", '/'), ElementsAre("a", "b", "", "c"));
  EXPECT_THAT(SplitText("a/", '/'), ElementsAre("a", ""));
  EXPECT_THAT(SplitText("", '/'), ElementsAre(""));
}

TEST(TextTest, TrimsBlanksAtTheEndsOnly) {
  EXPECT_EQ(TrimText(" \ta b\r\n"), "a b");
  EXPECT_EQ(TrimText("  "), "");
  EXPECT_EQ(TrimText(""), "");
}

TEST(TextTest, JoinsTextAndIntegers) {
  EXPECT_EQ(JoinText("step-", std::int64_t{12}, std::string("."), std::string_view("jpg")),
            "step-12.jpg");
}

}  // namespace
}  // namespace atelier
