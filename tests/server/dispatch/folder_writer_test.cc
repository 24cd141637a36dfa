#include "server/dispatch/files/folder_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/files.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

using internal::v1::FileWrite;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

FileWrite Header(const std::string& path, const std::string& contents,
                 std::uint64_t append_at = 0) {
  FileWrite write;
  write.mutable_file()->set_path(path);
  write.mutable_file()->set_size(contents.size());
  write.mutable_file()->set_sha256(Sha256Hex(contents));
  write.mutable_file()->set_append_at(append_at);
  return write;
}
FileWrite Data(const std::string& bytes) {
  FileWrite write;
  write.set_data(bytes);
  return write;
}
FileWrite Removal(const std::string& path) {
  FileWrite write;
  write.set_remove(path);
  return write;
}

class FolderWriterTest : public ::testing::Test {
 protected:
  FolderWriter Writer() {
    return FolderWriter(
        {.folder = folder_.path(), .digests = &digests_, .current = [this] { return current_; }});
  }
  // One call of a worker.
  absl::Status Send(const std::vector<FileWrite>& messages) {
    FolderWriter writer = Writer();
    for (const FileWrite& message : messages) {
      if (absl::Status status = writer.Apply(message); !status.ok()) {
        return status;
      }
    }
    const absl::Status end = writer.Finish();
    files_ = writer.files();
    return end;
  }
  std::string Contents(const std::string& path) const {
    std::ifstream file(folder_ / path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  // Everything below the folder, temporary files among it.
  std::vector<std::string> All() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      all.push_back(entry.path().lexically_relative(folder_.path()).string());
    }
    std::ranges::sort(all);
    return all;
  }

  const test::TempDir folder_;
  test::FakeClock clock_;
  DigestTable digests_{clock_};
  bool current_ = true;
  std::uint64_t files_ = 0;
};

TEST_F(FolderWriterTest, FilesComeInPiecesIntoFoldersThatAreMade) {
  ASSERT_TRUE(Send({Header("checkpoints/step-5/weights", "weights"), Data("wei"), Data("ghts"),
                    Header("checkpoints/step-5/complete", "")})
                  .ok());
  EXPECT_EQ(files_, 2U);
  EXPECT_THAT(All(), ElementsAre("checkpoints", "checkpoints/step-5", "checkpoints/step-5/complete",
                                 "checkpoints/step-5/weights"));
  EXPECT_EQ(Contents("checkpoints/step-5/weights"), "weights");
  struct stat facts = {};
  ASSERT_EQ(::stat((folder_ / "checkpoints/step-5/weights").c_str(), &facts), 0);
  EXPECT_EQ(digests_.Find(FactsOf(facts)), Sha256Hex("weights")) << "nobody has to read it again";
}

TEST_F(FolderWriterTest, AFileIsReplacedAsAWhole) {
  ASSERT_TRUE(Send({Header("a", "old"), Data("old")}).ok());
  FolderWriter writer = Writer();
  ASSERT_TRUE(writer.Apply(Header("a", "newer")).ok());
  ASSERT_TRUE(writer.Apply(Data("new")).ok());
  EXPECT_EQ(Contents("a"), "old");
  ASSERT_TRUE(writer.Apply(Data("er")).ok());
  EXPECT_EQ(Contents("a"), "newer") << "at once, before the end of the call";
}

TEST_F(FolderWriterTest, ACutInAFileLeavesNothingOfIt) {
  {
    FolderWriter writer = Writer();
    ASSERT_TRUE(writer.Apply(Header("a", "contents")).ok());
    ASSERT_TRUE(writer.Apply(Data("cont")).ok());
  }
  EXPECT_THAT(All(), IsEmpty());
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Header("a", "contents"), Data("cont")})));
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(FolderWriterTest, AnotherDigestThanPromisedIsDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(Send({Header("a", "right"), Data("wrong")})));
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(FolderWriterTest, GrowingFilesAreAddedTo) {
  ASSERT_TRUE(Send({Header("log.txt", "one\n"), Data("one\n")}).ok());
  ASSERT_TRUE(Send({Header("log.txt", "two\n", 4), Data("tw"), Data("o\n")}).ok());
  EXPECT_EQ(Contents("log.txt"), "one\ntwo\n");
  for (const std::uint64_t at : {3U, 9U}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(Send({Header("log.txt", "x", at), Data("x")})));
  }
  EXPECT_TRUE(absl::IsFailedPrecondition(Send({Header("stats.jsonl", "x", 4), Data("x")})));
  EXPECT_EQ(Contents("log.txt"), "one\ntwo\n");
}

// What is not meant to grow is replaced, so that whoever holds the old file has it as it was.
TEST_F(FolderWriterTest, OtherFilesAreNeverChangedInPlace) {
  for (const char* path : {"weights", "checkpoints/step-5/complete", "log.txt.old"}) {
    ASSERT_TRUE(Send({Header(path, "one"), Data("one")}).ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(Send({Header(path, "x", 3), Data("x")}))) << path;
    EXPECT_EQ(Contents(path), "one");
  }
  for (const char* path : {"cells/1/stats.jsonl", "events.out.tfevents.17.1"}) {
    ASSERT_TRUE(Send({Header(path, "one"), Data("one")}).ok());
    EXPECT_TRUE(Send({Header(path, "x", 3), Data("x")}).ok()) << path;
    EXPECT_EQ(Contents(path), "onex");
  }
}

TEST_F(FolderWriterTest, AFileThatIsKeptUnderASecondNameIsNotAddedTo) {
  ASSERT_TRUE(Send({Header("log.txt", "one"), Data("one")}).ok());
  std::filesystem::create_hard_link(folder_ / "log.txt", folder_ / "held");
  const absl::Status refused = Send({Header("log.txt", "x", 3), Data("x")});
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("send it whole"));
  ASSERT_TRUE(Send({Header("log.txt", "onex"), Data("onex")}).ok());
  EXPECT_EQ(Contents("log.txt"), "onex");
  EXPECT_EQ(Contents("held"), "one");
}

TEST_F(FolderWriterTest, WhatGrowsHasABoundToo) {
  ASSERT_TRUE(Send({Header("log.txt", "one"), Data("one")}).ok());
  std::filesystem::resize_file(folder_ / "log.txt", FolderWriter::kMostFileBytes);  // sparse
  EXPECT_TRUE(absl::IsInvalidArgument(
      Send({Header("log.txt", "x", FolderWriter::kMostFileBytes), Data("x")})));
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Header("log.txt", "x", ~0ULL), Data("x")})));
  EXPECT_EQ(std::filesystem::file_size(folder_ / "log.txt"), FolderWriter::kMostFileBytes);
}

TEST_F(FolderWriterTest, WhatWasAddedIsTakenBackWhenItIsCutOrWrong) {
  ASSERT_TRUE(Send({Header("log.txt", "one\n"), Data("one\n")}).ok());
  EXPECT_TRUE(absl::IsDataLoss(Send({Header("log.txt", "two\n", 4), Data("too\n")})));
  EXPECT_EQ(Contents("log.txt"), "one\n");
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Header("log.txt", "two\n", 4), Data("tw")})));
  EXPECT_EQ(Contents("log.txt"), "one\n");
}

TEST_F(FolderWriterTest, FilesAndFoldersAreRemovedAndMissingOnesAreNoError) {
  ASSERT_TRUE(Send({Header("old/a", ""), Header("old/b/c", ""), Header("kept", "")}).ok());
  ASSERT_TRUE(
      Send({Removal("old/a"), Removal("old"), Removal("old"), Removal("none/at/all")}).ok());
  EXPECT_THAT(All(), ElementsAre("kept"));
}

TEST_F(FolderWriterTest, PathsThatLeadOutAreRefused) {
  for (const char* path : {"../x", "/tmp/x", "a/../../x", "", ".hidden", "a//b", "."}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Send({Header(path, "")}))) << path;
    EXPECT_TRUE(absl::IsInvalidArgument(Send({Removal(path)}))) << path;
  }
}

TEST_F(FolderWriterTest, NoLinkLeadsOut) {
  const test::TempDir elsewhere;
  std::ofstream(elsewhere / "kept") << "kept";
  std::filesystem::create_directory_symlink(elsewhere.path(), folder_ / "link");
  std::filesystem::create_symlink(elsewhere / "kept", folder_ / "log.txt");
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Header("link/new", "")})));
  EXPECT_TRUE(Send({Removal("link/kept")}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Send({Header("log.txt", "x", 4), Data("x")})));
  ASSERT_TRUE(Send({Header("log.txt", "new"), Data("new")}).ok()) << "the link itself is replaced";
  ASSERT_TRUE(Send({Removal("link")}).ok());
  EXPECT_TRUE(std::filesystem::exists(elsewhere / "kept"));
  EXPECT_FALSE(std::filesystem::exists(elsewhere / "new"));
  std::ifstream kept(elsewhere / "kept");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(kept), {}), "kept");
}

TEST_F(FolderWriterTest, AFileInAFileIsRefused) {
  ASSERT_TRUE(Send({Header("a", "")}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Send({Header("a/b", "")})));
}

TEST_F(FolderWriterTest, AnAttemptThatIsNotThePresentOneAnyMoreIsLeftAlone) {
  FolderWriter writer = Writer();
  ASSERT_TRUE(writer.Apply(Header("a", "contents")).ok());
  current_ = false;
  EXPECT_TRUE(absl::IsAborted(writer.Apply(Data("contents")))) << "it ended while the file came";
  EXPECT_TRUE(absl::IsAborted(Send({Header("b", "")})));
  EXPECT_TRUE(absl::IsAborted(Send({Removal("b")})));
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(FolderWriterTest, AFolderThatIsGoneIsAborted) {
  FolderWriter writer(
      {.folder = folder_ / "gone", .digests = &digests_, .current = [] { return true; }});
  EXPECT_TRUE(absl::IsAborted(writer.Apply(Header("a", ""))));
}

TEST_F(FolderWriterTest, MessagesThatMakeNoSenseAreRefused) {
  FileWrite begin;
  begin.mutable_begin()->set_session(1);
  FileWrite huge = Header("a", "");
  huge.mutable_file()->set_size((16ULL << 30U) + 1);
  FileWrite digestless = Header("a", "x");
  digestless.mutable_file()->set_sha256("abc");
  const std::vector<FileWrite> bad[] = {
      {Data("of no file")},
      {FileWrite()},
      {begin},
      {huge},
      {digestless},
      {Header("a", "abc"), Header("b", "")},
      {Header("a", "abc"), Removal("b")},
      {Header("a", "abc"), Data("abcd")},
      {Header("a", "abc"), Data("")},
      {Header("a", std::string(2 << 20, 'x')), Data(std::string((1 << 20) + 1, 'x'))},
  };
  for (const std::vector<FileWrite>& messages : bad) {
    EXPECT_TRUE(absl::IsInvalidArgument(Send(messages))) << messages.back().ShortDebugString();
    EXPECT_THAT(All(), IsEmpty());
  }
}

// Sentences are read by the owner of the job, who must know which of the two disks is meant.
class SmallAttemptTest : public FolderWriterTest {
 protected:
  void SetUp() override {
    mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=64k") == 0;
    if (!mounted_) {
      GTEST_SKIP() << "this user may not mount";
    }
  }
  void TearDown() override {
    if (mounted_) {
      EXPECT_EQ(::umount2(folder_.path().c_str(), MNT_DETACH), 0);
    }
  }
  static void ExpectTheServersDisk(const absl::Status& status, const std::string& words) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("on the server: cannot write \"a\""));
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }

 private:
  bool mounted_ = false;
};

TEST_F(SmallAttemptTest, AFullDiskIsToldAndNothingOfTheFileStays) {
  ASSERT_TRUE(Send({Header("log.txt", "one"), Data("one")}).ok());
  const std::string large(100 << 10, 'x');
  ExpectTheServersDisk(Send({Header("a", large), Data(large)}), "the disk is full");
  EXPECT_THAT(All(), ElementsAre("log.txt"));
  EXPECT_TRUE(absl::IsResourceExhausted(Send({Header("log.txt", large, 3), Data(large)})));
  EXPECT_EQ(Contents("log.txt"), "one");
}

TEST_F(SmallAttemptTest, AReadOnlyDiskIsTold) {
  ASSERT_EQ(::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, ""), 0);
  ExpectTheServersDisk(Send({Header("a", "")}), "read-only");
}

}  // namespace
}  // namespace atelier::server
