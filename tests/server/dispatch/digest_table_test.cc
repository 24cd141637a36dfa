#include "server/dispatch/files/digest_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/files.h"
#include "server/dispatch/files/folder_reader.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

bool Always() { return true; }

class DigestTableTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& contents) const {
    std::ofstream(folder_ / name) << contents;
  }
  FileFacts Facts(const std::string& name) const {
    struct stat facts = {};
    EXPECT_EQ(::stat((folder_ / name).c_str(), &facts), 0);
    return FactsOf(facts);
  }
  absl::StatusOr<std::string> Of(const std::string& name) {
    const Descriptor file(OpenRetrying(folder_ / name, O_RDONLY));
    return table_.Of(file, Facts(name), Always);
  }

  const test::TempDir folder_;
  // Files are written by the machine's clock.
  test::FakeClock clock_{absl::Now() + absl::Hours(1)};
  DigestTable table_{clock_, 4};
};

TEST_F(DigestTableTest, AFileIsReadOnce) {
  Write("a", "hello");
  EXPECT_FALSE(table_.Find(Facts("a")).has_value());
  EXPECT_EQ(*Of("a"), Sha256Hex("hello"));
  EXPECT_EQ(table_.Find(Facts("a")), Sha256Hex("hello"));
  table_.Put(Facts("a"), std::string(64, 'b'));
  EXPECT_EQ(*Of("a"), std::string(64, 'b')) << "it believes what it knows";
}

TEST_F(DigestTableTest, AChangedFileIsAnotherFile) {
  Write("a", "hello");
  EXPECT_EQ(*Of("a"), Sha256Hex("hello"));
  Write("a", "hello, and more");
  EXPECT_EQ(*Of("a"), Sha256Hex("hello, and more"));
  std::filesystem::last_write_time(
      folder_ / "a", std::filesystem::file_time_type::clock::now() - std::chrono::hours(5));
  EXPECT_FALSE(table_.Find(Facts("a")).has_value());
}

// Such a file may change again without a new time.
TEST_F(DigestTableTest, AFileThatWasWrittenJustNowIsNotRemembered) {
  test::FakeClock now(absl::Now());
  DigestTable table(now);
  Write("a", "hello");
  const Descriptor file(OpenRetrying(folder_ / "a", O_RDONLY));
  EXPECT_EQ(*table.Of(file, Facts("a"), Always), Sha256Hex("hello"));
  EXPECT_EQ(table.size(), 0U);
}

TEST_F(DigestTableTest, OfAGrowingFileOnlyTheToldPartIsRead) {
  Write("log", "first");
  const FileFacts before = Facts("log");
  std::ofstream(folder_ / "log", std::ios::app) << " second";
  const Descriptor file(OpenRetrying(folder_ / "log", O_RDONLY));
  EXPECT_EQ(*table_.Of(file, before, Always), Sha256Hex("first"));
  EXPECT_EQ(table_.size(), 0U) << "it is not that file any more";
  FileFacts longer = before;
  longer.size = 1000;
  EXPECT_TRUE(absl::IsNotFound(table_.Of(file, longer, Always).status()));
}

TEST_F(DigestTableTest, ItForgetsWhatWasNotAskedForLongest) {
  for (const char* name : {"1", "2", "3", "4", "5", "6"}) {
    Write(name, name);
    EXPECT_TRUE(Of(name).ok());
    EXPECT_TRUE(Of("1").ok());
    EXPECT_LE(table_.size(), 4U);
  }
  EXPECT_TRUE(table_.Find(Facts("1")).has_value());
  EXPECT_TRUE(table_.Find(Facts("6")).has_value());
  EXPECT_FALSE(table_.Find(Facts("2")).has_value());
}

// Else each listing of such a folder would read it anew, and push out what others need.
TEST_F(DigestTableTest, HalfAsManyFilesAsItHoldsAreKnownHoweverOftenTheyAreListed) {
  constexpr std::uint64_t kMost = 1000;
  DigestTable table(clock_, kMost);
  std::uint64_t unknown = 0;
  for (int listing = 0; listing < 5; ++listing) {
    for (std::uint64_t inode = 0; inode < kMost / 2; ++inode) {
      const FileFacts facts = {.device = 1, .inode = inode};
      if (!table.Find(facts).has_value()) {
        ++unknown;
        table.Put(facts, std::string(64, 'a'));
      }
    }
  }
  EXPECT_EQ(unknown, kMost / 2) << "each once";
  EXPECT_GE(DigestTable::kMostFiles / 2, kMostSharedFiles);
}

TEST_F(DigestTableTest, AFileIsReadOnlyAsLongAsItIsWanted) {
  Write("a", std::string(5 << 20, 'x'));
  const Descriptor file(OpenRetrying(folder_ / "a", O_RDONLY));
  int asked = 0;
  EXPECT_TRUE(
      absl::IsCancelled(table_.Of(file, Facts("a"), [&asked] { return ++asked <= 2; }).status()));
  EXPECT_EQ(asked, 3) << "after two pieces";
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(DigestTableTest, EmptyFilesHaveADigestToo) {
  Write("empty", "");
  EXPECT_EQ(*Of("empty"), Sha256Hex(""));
}

}  // namespace
}  // namespace atelier::server
