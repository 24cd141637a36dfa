#include "common/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/deletion_order.h"
#include "tests/support/temp_dir.h"

namespace atelier {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t kEnough = 1 << 20;

class FilesTest : public ::testing::Test {
 protected:
  std::size_t FilesInFolder() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()));
  }

  test::TempDir folder_;
};

TEST_F(FilesTest, WhatIsWrittenIsReadBackAndNothingElseRemains) {
  const std::string contents("a\0b\n", 4);
  ASSERT_TRUE(WriteFileAtomically(folder_ / "f", "old").ok());
  ASSERT_TRUE(WriteFileAtomically(folder_ / "f", contents).ok());
  EXPECT_EQ(*ReadFile(folder_ / "f", kEnough), contents);
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(FilesTest, AFileInTheWorkingFolderNeedsNoPath) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_.path());
  EXPECT_TRUE(WriteFileAtomically("plain", "x").ok());
  fs::current_path(before);
  EXPECT_EQ(*ReadFile(folder_ / "plain", kEnough), "x");
}

TEST_F(FilesTest, WritersAtOnceLeaveOneWholeFile) {
  std::vector<std::thread> writers;
  for (char c = 'a'; c < 'e'; ++c) {
    writers.emplace_back([this, c] {
      for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(WriteFileAtomically(folder_ / "f", std::string(10000, c)).ok());
      }
    });
  }
  for (std::thread& writer : writers) {
    writer.join();
  }
  const std::string contents = *ReadFile(folder_ / "f", kEnough);
  EXPECT_EQ(contents, std::string(10000, contents.front()));
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(FilesTest, AWriteThatFailsHalfwayLeavesTheOldFileAndNothingElse) {
  ASSERT_TRUE(WriteFileAtomically(folder_ / "f", "old").ok());
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small = {100, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteFileAtomically(folder_ / "f", std::string(1000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_EQ(*ReadFile(folder_ / "f", kEnough), "old");
  EXPECT_EQ(FilesInFolder(), 1u);
}

// A file system of 64 KiB.
class SmallDiskTest : public FilesTest {
 protected:
  void SetUp() override {
    mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=64k") == 0;
    if (!mounted_) {
      GTEST_SKIP() << "this user may not mount";
    }
  }
  void TearDown() override {
    if (mounted_) {
      ::umount(folder_.path().c_str());
    }
  }

 private:
  bool mounted_ = false;
};

TEST_F(SmallDiskTest, AFullDiskIsResourceExhausted) {
  ASSERT_TRUE(WriteFileAtomically(folder_ / "f", "old").ok());
  const absl::Status status = WriteFileAtomically(folder_ / "f", std::string(1 << 20, 'x'));
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the disk is full"));
  EXPECT_EQ(*ReadFile(folder_ / "f", kEnough), "old");
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(SmallDiskTest, AReadOnlyDiskIsPermissionDenied) {
  ASSERT_EQ(::mount("tmpfs", folder_.path().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, ""), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(WriteFileAtomically(folder_ / "f", "x")));
}

TEST_F(FilesTest, AFolderThatCannotBeWrittenIsPermissionDenied) {
  if (::geteuid() == 0) {
    GTEST_SKIP() << "root may write everywhere";
  }
  fs::permissions(folder_.path(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_TRUE(absl::IsPermissionDenied(WriteFileAtomically(folder_ / "f", "x")));
}

TEST_F(FilesTest, ErrorsNameTheFileButNotItsFolder) {
  const absl::Status write = WriteFileAtomically(folder_ / "none" / "model.json", "x");
  EXPECT_TRUE(absl::IsInternal(write)) << write;
  EXPECT_THAT(std::string(write.message()), HasSubstr("model.json"));
  EXPECT_THAT(std::string(write.message()), Not(HasSubstr(folder_.path().string())));
  const absl::Status read = ReadFile(folder_ / "none", kEnough).status();
  EXPECT_TRUE(absl::IsNotFound(read));
  EXPECT_THAT(std::string(read.message()), Not(HasSubstr(folder_.path().string())));
}

TEST_F(FilesTest, OfAVouchedFolderTheFileThatVouchesGoesFirst) {
  const fs::path made = folder_ / "made";
  fs::create_directories(made / "more");
  ASSERT_TRUE(WriteFileAtomically(made / "complete", "yes").ok());
  ASSERT_TRUE(WriteFileAtomically(made / "more/f", "x").ok());
  test::HideAmongOthers(made, "complete");
  test::DeletionOrder order(made);
  EXPECT_TRUE(RemoveVouchedFolder(made, "complete").ok());
  EXPECT_FALSE(fs::exists(made));
  const std::vector<std::string> removed = order.Take();
  ASSERT_FALSE(removed.empty());
  EXPECT_EQ(removed.front(), "complete");
  EXPECT_TRUE(RemoveVouchedFolder(made, "complete").ok()) << "there is none";

  // What goes on counting as whole is left whole.
  fs::create_directories(made / "complete/cannot-be-unlinked");
  ASSERT_TRUE(WriteFileAtomically(made / "f", "x").ok());
  const absl::Status status = RemoveVouchedFolder(made, "complete");
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_TRUE(fs::exists(made / "f"));
}

TEST_F(FilesTest, ReadingIsBounded) {
  ASSERT_TRUE(WriteFileAtomically(folder_ / "f", std::string(1000, 'x')).ok());
  EXPECT_TRUE(ReadFile(folder_ / "f", 1000).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(folder_ / "f", 999).status()));
  // Endless.
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile("/dev/zero", kEnough).status()));
}

TEST_F(FilesTest, AFolderIsNoFile) {
  EXPECT_TRUE(absl::IsInternal(ReadFile(folder_.path(), kEnough).status()));
}

TEST_F(FilesTest, Sha256OfBytesAndFile) {
  // FIPS 180-2, appendix B.1.
  constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(Sha256Hex("abc"), kAbc);
  ASSERT_TRUE(WriteFileAtomically(folder_ / "f", "abc").ok());
  EXPECT_EQ(*Sha256HexOfFile(folder_ / "f"), kAbc);
  const std::string large(1'000'000, 'a');
  ASSERT_TRUE(WriteFileAtomically(folder_ / "large", large).ok());
  EXPECT_EQ(*Sha256HexOfFile(folder_ / "large"), Sha256Hex(large));
  EXPECT_TRUE(absl::IsNotFound(Sha256HexOfFile(folder_ / "none").status()));
}

TEST(ProgramPlaceTest, ShareLiesBesideTheProgramsFolder) {
  EXPECT_EQ(ExecutableDirectory(), fs::path(ATELIER_BINARY_DIR) / "tests");
  EXPECT_EQ(ShareDirectory(), fs::path(ATELIER_BINARY_DIR) / "share" / "atelier");
}

}  // namespace
}  // namespace atelier
