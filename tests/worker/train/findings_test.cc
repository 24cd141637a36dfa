#include "worker/train/findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace atelier::train {
namespace {

using testing::ElementsAre;

TEST(FindingsTest, AreCountedOnceWhoeverFindsThem) {
  Findings findings;
  const Finding photo = {.text = "1.png cannot be read"};
  const Finding painting = {.set = Finding::Set::kStyle, .text = photo.text};
  EXPECT_EQ(findings.Add(photo)->of_set, 1);
  EXPECT_FALSE(findings.Add(FromNote(ToNote(photo))).has_value());
  const auto other_set = findings.Add(FromNote(ToNote(painting)));
  ASSERT_TRUE(other_set.has_value());
  EXPECT_EQ(other_set->of_kind, 2);
  EXPECT_EQ(other_set->of_set, 1);
  EXPECT_EQ(findings.Add({.kind = Finding::Kind::kWithoutEdges, .text = photo.text})->of_kind, 1);
  EXPECT_THAT(findings.broken(), ElementsAre(photo.text, photo.text));
}

TEST(FindingsTest, SlowDataIsOneFinding) {
  Findings findings;
  EXPECT_TRUE(findings.Add({.kind = Finding::Kind::kSlow, .text = "40 %"}).has_value());
  EXPECT_FALSE(findings.Add({.kind = Finding::Kind::kSlow, .text = "50 %"}).has_value());
}

}  // namespace
}  // namespace atelier::train
