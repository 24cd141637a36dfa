#include "server/store/data_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>

#include "common/files.h"
#include "tests/support/temp_dir.h"

namespace atelier::server::store {
namespace {

using testing::HasSubstr;

std::string Message(const absl::Status& status) { return std::string(status.message()); }

class DataDirectoryTest : public testing::Test {
 protected:
  test::TempDir folder_;
  const std::filesystem::path root_ = folder_ / "data";
};

TEST_F(DataDirectoryTest, AFreshOneGetsItsLayout) {
  const auto directory = *DataDirectory::Open(root_);
  EXPECT_EQ(*ReadFile(root_ / "FORMAT", 10), "1\n");
  EXPECT_TRUE(std::filesystem::is_directory(directory->models()));
  EXPECT_TRUE(std::filesystem::is_directory(directory->jobs()));
  EXPECT_TRUE(std::filesystem::is_directory(directory->datasets()));
  EXPECT_EQ(directory->database(), root_ / "atelier.db");
}

TEST_F(DataDirectoryTest, ASecondServerIsRefusedUntilTheFirstIsGone) {
  auto first = *DataDirectory::Open(root_);
  const absl::Status status = DataDirectory::Open(root_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(Message(status),
              HasSubstr("data directory " + root_.string() + " is in use by another server; stop"));
  first.reset();
  EXPECT_TRUE(DataDirectory::Open(root_).ok());
}

TEST_F(DataDirectoryTest, ANewerFormatIsRefusedAndLeftAlone) {
  ASSERT_TRUE(DataDirectory::Open(root_).ok());
  std::ofstream(root_ / "FORMAT") << "7\n";
  const absl::Status status = DataDirectory::Open(root_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(Message(status), HasSubstr("has format 7"));
  EXPECT_THAT(Message(status), HasSubstr("use a newer atelier-server"));
  EXPECT_EQ(*ReadFile(root_ / "FORMAT", 10), "7\n");
}

TEST_F(DataDirectoryTest, AnUnreadableFormatIsRefused) {
  ASSERT_TRUE(DataDirectory::Open(root_).ok());
  for (const char* text : {"", "one", "0", "-1", "1 2"}) {
    std::ofstream(root_ / "FORMAT", std::ios::trunc) << text;
    EXPECT_TRUE(absl::IsFailedPrecondition(DataDirectory::Open(root_).status())) << text;
  }
}

TEST_F(DataDirectoryTest, ADatabaseWithoutFormatIsRefused) {
  std::filesystem::create_directories(root_);
  std::ofstream(root_ / "atelier.db") << "something";
  EXPECT_TRUE(absl::IsFailedPrecondition(DataDirectory::Open(root_).status()));
}

TEST_F(DataDirectoryTest, AFileInItsPlaceIsRefused) {
  std::ofstream(root_.string()) << "a file";
  EXPECT_TRUE(absl::IsFailedPrecondition(DataDirectory::Open(root_).status()));
}

// Runs `body` in a process that has `root` mounted as a small file system of its own, and ends that
// process with what it returns. Exit code kMayNotMount where the kernel does not allow that.
constexpr int kMayNotMount = 77;
[[noreturn]] void OnSmallDisk(const std::filesystem::path& root,
                              const std::function<bool()>& body) {
  std::filesystem::create_directories(root);
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("none", root.c_str(), "tmpfs", 0, "size=2m") != 0) {
    ::_exit(kMayNotMount);
  }
  ::_exit(body() ? 0 : 1);
}

// A death test forks before any thread of this program exists.
#define EXPECT_ON_SMALL_DISK(body)                                              \
  do {                                                                          \
    bool forbidden = false;                                                     \
    EXPECT_EXIT(                                                                \
        OnSmallDisk(root_, body),                                               \
        [&forbidden](int status) {                                              \
          forbidden = WIFEXITED(status) && WEXITSTATUS(status) == kMayNotMount; \
          return forbidden || (WIFEXITED(status) && WEXITSTATUS(status) == 0);  \
        },                                                                      \
        "");                                                                    \
    if (forbidden) {                                                            \
      GTEST_SKIP() << "this user may not mount a small disk here";              \
    }                                                                           \
  } while (false)

TEST_F(DataDirectoryTest, AFullDiskIsTold) {
  const auto body = [this] {
    std::ofstream(root_ / "ballast") << std::string(4 << 20, 'x');
    const absl::Status status = DataDirectory::Open(root_).status();
    return absl::IsResourceExhausted(status) &&
           Message(status) ==
               "data directory " + root_.string() + " is full; free some space and start again";
  };
  EXPECT_ON_SMALL_DISK(body);
}

TEST_F(DataDirectoryTest, AReadOnlyDiskIsTold) {
  const auto body = [this] {
    // Closed before the disk changes: a file that is open for writing forbids it.
    const bool opened = DataDirectory::Open(root_).ok();
    if (!opened || ::mount("none", root_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      return false;
    }
    const absl::Status status = DataDirectory::Open(root_).status();
    return absl::IsPermissionDenied(status) &&
           Message(status) == "data directory " + root_.string() +
                                  " cannot be written; give this user the right to, or choose "
                                  "another one";
  };
  EXPECT_ON_SMALL_DISK(body);
}

}  // namespace
}  // namespace atelier::server::store
