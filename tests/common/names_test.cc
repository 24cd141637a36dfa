#include "common/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/errors.h"

namespace atelier {
namespace {

using ::testing::HasSubstr;

TEST(NamesTest, GoodNames) {
  for (const std::string& name :
       {std::string("a"), std::string("0"), std::string("van-gogh_2"), std::string(63, 'x')}) {
    EXPECT_TRUE(CheckName("job_id", name).ok()) << name;
  }
}

TEST(NamesTest, BadNamesNameTheField) {
  for (const std::string& name :
       {std::string(), std::string("A"), std::string("-a"), std::string("_a"), std::string("a b"),
        std::string("a/b"), std::string("../a"), std::string("a."), std::string("ä"),
        std::string(64, 'x'), std::string("a\0b", 3)}) {
    EXPECT_EQ(FieldOf(CheckName("job_id", name)), "job_id") << name;
  }
}

TEST(NamesTest, AnEndlessBadNameIsNotRepeatedInFull) {
  EXPECT_LT(CheckName("job_id", std::string(1 << 20, '\n')).message().size(), 600u);
}

TEST(ModelRefTest, TheThreeForms) {
  const auto plain = ParseModelRef("model", "oil");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->name, "oil");
  EXPECT_EQ(plain->version, 0u);
  EXPECT_EQ(plain->label, "");
  const auto versioned = ParseModelRef("model", "oil@12");
  ASSERT_TRUE(versioned.ok());
  EXPECT_EQ(versioned->version, 12u);
  EXPECT_EQ(versioned->label, "");
  const auto labelled = ParseModelRef("model", "oil@stable");
  ASSERT_TRUE(labelled.ok());
  EXPECT_EQ(labelled->version, 0u);
  EXPECT_EQ(labelled->label, "stable");
}

TEST(ModelRefTest, MalformedReferencesNameTheField) {
  for (const char* text : {"", "@1", "oil@", "oil@0", "oil@4294967296", "oil@99999999999999999999",
                           "oil@-1", "oil@Stable", "oil@1@2", "oil @1", "OIL"}) {
    const auto ref = ParseModelRef("model", text);
    EXPECT_EQ(FieldOf(ref.status()), "model") << text;
  }
}

TEST(ModelRefTest, ALabelMayBeginWithADigitButIsNeverANumber) {
  EXPECT_EQ(ParseModelRef("model", "oil@2nd")->label, "2nd");
}

}  // namespace
}  // namespace atelier
