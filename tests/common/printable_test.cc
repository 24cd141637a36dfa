#include "common/printable.h"

#include <gtest/gtest.h>

#include <string>

namespace atelier {
namespace {

TEST(PrintableTest, CharactersHaveTheirLength) {
  EXPECT_EQ(PrintableLength("ab"), 1u);
  EXPECT_EQ(PrintableLength("\xc3\xa9x"), 2u);
  EXPECT_EQ(PrintableLength("\xe2\x82\xac"), 3u);
  EXPECT_EQ(PrintableLength("\xf0\x9f\x8e\xa8"), 4u);
}

TEST(PrintableTest, WhatATerminalWouldObeyOrCannotReadIsNotPrintable) {
  for (const char* bad : {"\x1b[31m", "\x7f", "\r", "\xc2\x80", "\xc2\x9b", "\xc2\x9f", "\x9b",
                          "\xc0\xaf", "\xe2\x82", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xff"}) {
    const std::string text = std::string("a") + bad;
    EXPECT_FALSE(IsPrintable(text)) << text;
    EXPECT_FALSE(IsPrintableText(text)) << text;
  }
  EXPECT_FALSE(IsPrintable(std::string("a\0b", 3)));
  EXPECT_TRUE(IsPrintable(""));
  EXPECT_TRUE(IsPrintable("\xc2\xa0 \xc3\xa9t\xc3\xa9"));
}

TEST(PrintableTest, OnlyTextHasLines) {
  EXPECT_FALSE(IsPrintable("a\nb"));
  EXPECT_FALSE(IsPrintable("a\tb"));
  EXPECT_TRUE(IsPrintableText("a\n\tb"));
}

}  // namespace
}  // namespace atelier
