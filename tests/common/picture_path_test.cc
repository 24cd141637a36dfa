#include "common/picture_path.h"

#include <gtest/gtest.h>

#include "common/errors.h"

namespace atelier {
namespace {

TEST(PicturePathTest, TheLastTwoPartsCount) {
  const PicturePath path = *ParseEntryPath("archive", "./a/b/shirts/x.jpg");
  EXPECT_EQ(path.label, "shirts");
  EXPECT_EQ(path.name, "x.jpg");
  EXPECT_EQ(ParseEntryPath("archive", "x.jpg")->label, "");
  EXPECT_EQ(ParseEntryPath("archive", "shirts/")->name, "shirts");
  EXPECT_EQ(ParseEntryPath("archive", "./")->name, "");
}

TEST(PicturePathTest, CharactersAreWholeAndPrintable) {
  for (const char* good : {"a b.jpg", "ä.jpg", "日本.jpg", "👗.jpg", "a'\".jpg"}) {
    EXPECT_TRUE(ParsePicturePath("file", good).ok()) << good;
  }
  for (const char* bad : {"\x01.jpg", "\x7f.jpg", "\xc2\x85.jpg", "\xc0\xaf.jpg", "\xe2\x82.jpg",
                          "\xed\xa0\x80.jpg", "\xf5\x80\x80\x80.jpg", "\xff.jpg"}) {
    EXPECT_EQ(FieldOf(ParsePicturePath("file", bad).status()), "file") << bad;
  }
}

TEST(PicturePathTest, WhatIsQuotedIsShortAndPrintable) {
  EXPECT_EQ(QuotedName("a.jpg"), "\"a.jpg\"");
  EXPECT_EQ(QuotedName("a\n"), "\"a\\n\"");
  EXPECT_EQ(QuotedName(std::string(500, 'a')), "\"" + std::string(100, 'a') + "…\"");
}

}  // namespace
}  // namespace atelier
