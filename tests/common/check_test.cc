#include "common/check.h"

#include <gtest/gtest.h>

namespace atelier {
namespace {

TEST(CheckTest, ABrokenInvariantAbortsAndTellsWhere) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const int one = 1;
  ATELIER_CHECK(one == 1);
  EXPECT_DEATH(ATELIER_CHECK(one == 2), "check_test.cc:[0-9]+: check failed: one == 2");
}

}  // namespace
}  // namespace atelier
