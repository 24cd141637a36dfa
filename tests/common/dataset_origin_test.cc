#include "common/dataset_origin.h"

#include <gtest/gtest.h>

#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace atelier {
namespace {

TEST(DatasetOriginTest, LicenceAndSourceAreRead) {
  const test::TempDir folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "dataset.json",
                                  R"({"license":"CC0","source":"a\u001b shop","more":1})")
                  .ok());
  const DatasetOrigin origin = ReadDatasetOrigin(folder.path());
  EXPECT_EQ(origin.license, "CC0");
  EXPECT_EQ(origin.source, "a  shop") << "no control characters";
}

TEST(DatasetOriginTest, WhatIsMissingOrMalformedIsUnknown) {
  const test::TempDir folder;
  EXPECT_EQ(ReadDatasetOrigin(folder.path()).license, "");
  for (const char* text : {"", "[]", R"({"license":5})", "{"}) {
    ASSERT_TRUE(WriteFileAtomically(folder / "dataset.json", text).ok());
    EXPECT_EQ(ReadDatasetOrigin(folder.path()).license, "") << text;
  }
}

}  // namespace
}  // namespace atelier
