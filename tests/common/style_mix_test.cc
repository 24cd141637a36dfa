#include "common/style_mix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/errors.h"

namespace atelier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> Classes() { return {"a", "b", "c"}; }

TEST(StyleMixTest, OnlyTheProportionsCount) {
  EXPECT_THAT(*MixWeights({{"c", 1}, {"a", 3}}, Classes()), ElementsAre(0.75F, 0, 0.25F));
  EXPECT_THAT(*MixWeights({{"b", 1e-30F}}, Classes()), ElementsAre(0, 1, 0));
  const float most = std::numeric_limits<float>::max();
  EXPECT_THAT(*MixWeights({{"a", most}, {"b", most}}, Classes()), ElementsAre(0.5F, 0.5F, 0));
}

TEST(StyleMixTest, NothingIsTheFirstClass) {
  EXPECT_THAT(*MixWeights({}, Classes()), ElementsAre(1, 0, 0));
}

TEST(StyleMixTest, NonsenseIsRefusedNamingMix) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::vector<StyleShare>& mix :
       std::vector<std::vector<StyleShare>>{{{"d", 1}},
                                            {{"", 1}},
                                            {{"a", 1}, {"a", 1}},
                                            {{"a", -1}, {"b", 2}},
                                            {{"a", std::numeric_limits<float>::quiet_NaN()}},
                                            {{"a", infinity}},
                                            {{"a", 0}, {"b", 0}},
                                            std::vector<StyleShare>(65, StyleShare{"a", 1})}) {
    const absl::Status status = MixWeights(mix, Classes()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(FieldOf(status), "mix");
  }
}

TEST(StyleMixTest, AnUnknownLabelIsAnsweredWithTheKnownOnes) {
  EXPECT_THAT(std::string(MixWeights({{"d", 1}}, Classes()).status().message()),
              HasSubstr("its labels are: a, b, c"));
  const std::string huge(1 << 20, 'x');
  EXPECT_LT(MixWeights({{huge, 1}}, Classes()).status().message().size(), 200U);
  EXPECT_LT(
      MixWeights({{"d", 1}}, std::vector<std::string>(100, "label")).status().message().size(),
      300U);
}

}  // namespace
}  // namespace atelier
