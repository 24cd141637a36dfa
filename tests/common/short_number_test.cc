#include "common/short_number.h"

#include <gtest/gtest.h>

#include <cmath>

namespace atelier {
namespace {

TEST(ShortNumberTest, FourDigitsAreShown) {
  EXPECT_EQ(ShortNumber(0), "0");
  EXPECT_EQ(ShortNumber(0.71), "0.71");
  EXPECT_EQ(ShortNumber(-0.123456), "-0.1235");
  EXPECT_EQ(ShortNumber(123456), "1.235e+05");
}

TEST(ShortNumberTest, WhatIsNotFiniteIsNoNumber) {
  EXPECT_EQ(ShortNumber(std::nan("")), "nan");
  EXPECT_EQ(ShortNumber(-std::nan("")), "nan");
  EXPECT_EQ(ShortNumber(-HUGE_VAL), "nan");
}

}  // namespace
}  // namespace atelier
