#include "common/file_writer.h"

#include <gtest/gtest.h>

#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace atelier {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kWholeFile = 1 << 20;

TEST(FileWriterTest, PiecesAreThereTogetherOnceCommitted) {
  const test::TempDir folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "f", "old").ok());
  const auto writer = FileWriter::Create(folder / "f").value();
  ASSERT_TRUE(writer->Append("ab").ok());
  ASSERT_TRUE(writer->Append("").ok());
  ASSERT_TRUE(writer->Append("cde").ok());
  EXPECT_EQ(writer->bytes(), 5u);
  EXPECT_EQ(*ReadFile(folder / "f", kWholeFile), "old");
  ASSERT_TRUE(writer->Commit().ok());
  EXPECT_EQ(*ReadFile(folder / "f", kWholeFile), "abcde");
}

TEST(FileWriterTest, WithoutACommitNothingIsLeft) {
  const test::TempDir folder;
  {
    const auto writer = FileWriter::Create(folder / "f").value();
    ASSERT_TRUE(writer->Append("ab").ok());
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(FileWriterTest, AMissingFolderIsAnError) {
  const test::TempDir folder;
  EXPECT_TRUE(absl::IsInternal(FileWriter::Create(folder / "none" / "f").status()));
}

}  // namespace
}  // namespace atelier
