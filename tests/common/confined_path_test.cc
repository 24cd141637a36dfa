#include "common/confined_path.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include "common/errors.h"
#include "tests/support/temp_dir.h"

namespace atelier {
namespace {

TEST(ConfinedPathTest, NamesWithSlashesBetweenThemAreTaken) {
  for (const char* path : {"a", "checkpoints/step-100/complete", "Bäume/1 (2).jpg", "a..b/c."}) {
    EXPECT_TRUE(CheckConfinedPath("path", path).ok()) << path;
  }
  EXPECT_TRUE(CheckConfinedPath("path", std::string(200, 'x') + "/" + std::string(200, 'y')).ok());
}

TEST(ConfinedPathTest, WhatLeadsElsewhereOrIsHiddenIsRefused) {
  const std::string bad[] = {
      "",
      ".",
      "..",
      "/etc/passwd",
      "../x",
      "a/../b",
      "a/..",
      "a/./b",
      "a//b",
      "a/",
      "/",
      ".hidden",
      "a/.hidden/b",
      "a\\b",
      "a\nb",
      std::string("a\0b", 3),
      "a\xff",
      std::string(201, 'x'),
      std::string(200, 'x') + "/" + std::string(200, 'y') + "/" + std::string(150, 'z')};
  for (const std::string& path : bad) {
    const absl::Status status = CheckConfinedPath("path", path);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << path;
    EXPECT_EQ(FieldOf(status), "path") << path;
  }
}

class OpenBelowTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_ / "root/inner");
    std::ofstream(folder_ / "outside") << "secret";
    std::ofstream(folder_ / "root/inner/file") << "x";
    std::filesystem::create_symlink(folder_ / "outside", folder_ / "root/link");
    std::filesystem::create_directory_symlink(folder_ / "root/inner", folder_ / "root/folder-link");
  }

  Descriptor Root() const { return Descriptor(OpenRetrying(folder_ / "root", O_DIRECTORY)); }

  test::TempDir folder_;
};

TEST_F(OpenBelowTest, FilesAreOpened) {
  const Descriptor file = OpenBelow(Root(), "inner/file");
  char byte = 0;
  ASSERT_TRUE(file.valid());
  EXPECT_EQ(::read(file.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'x');
}

TEST_F(OpenBelowTest, NoLinkIsFollowedWhereverItIs) {
  EXPECT_FALSE(OpenBelow(Root(), "link").valid());
  EXPECT_EQ(errno, ELOOP);
  EXPECT_FALSE(OpenBelow(Root(), "folder-link/file").valid());
  EXPECT_FALSE(OpenBelow(Root(), "inner/none").valid());
  EXPECT_EQ(errno, ENOENT);
}

}  // namespace
}  // namespace atelier
