#include "server/store/disk_room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>

#include "common/errors.h"
#include "tests/support/temp_dir.h"

namespace atelier::server {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::uint64_t kMebi = 1 << 20;

class DiskRoomTest : public testing::Test {
 protected:
  static std::uint64_t Nothing() { return 0; }

  std::uint64_t free_ = 116 * kMebi;  // 16 of them are spare
  DiskRoom room_{[this] { return absl::StatusOr<std::uint64_t>(free_); }};
};

TEST_F(DiskRoomTest, WhatIsPromisedToOneIsNotThereForAnother) {
  auto first = room_.Take(60 * kMebi, Nothing);
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status refused = room_.Take(41 * kMebi, Nothing).status();
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_TRUE(RetryDelayOf(refused).has_value());
  EXPECT_THAT(std::string(refused.message()), HasSubstr("it needs 41 MiB, and 40 MiB are"));
  EXPECT_TRUE(room_.Take(40 * kMebi, Nothing).ok());
  first->reset();
  EXPECT_TRUE(room_.Take(100 * kMebi, Nothing).ok());
  EXPECT_FALSE(room_.Take(101 * kMebi, Nothing).ok()) << "a little stays free";
}

TEST_F(DiskRoomTest, WhatIsWrittenIsNotCountedTwice) {
  std::uint64_t written = 0;
  const auto first = room_.Take(60 * kMebi, [&] { return written; });
  ASSERT_TRUE(first.ok());
  written = 50 * kMebi;
  free_ -= written;
  EXPECT_TRUE(room_.Take(40 * kMebi, Nothing).ok());
  EXPECT_FALSE(room_.Take(41 * kMebi, Nothing).ok());
  written = 70 * kMebi;  // more than it said
  free_ -= 20 * kMebi;
  EXPECT_TRUE(room_.Take(30 * kMebi, Nothing).ok());
  EXPECT_FALSE(room_.Take(31 * kMebi, Nothing).ok());
}

TEST_F(DiskRoomTest, WhoeverCanDoWithLessGetsWhatThereIs) {
  const auto first = room_.TakeUpTo(70 * kMebi, Nothing);
  EXPECT_EQ((*first)->bytes(), 70 * kMebi);
  const auto second = room_.TakeUpTo(70 * kMebi, Nothing);
  EXPECT_EQ((*second)->bytes(), 30 * kMebi);
  EXPECT_EQ((*room_.TakeUpTo(1, Nothing))->bytes(), 0u);
  free_ = 0;
  EXPECT_EQ((*room_.TakeUpTo(1, Nothing))->bytes(), 0u);
}

TEST_F(DiskRoomTest, ADiskThatCannotBeAskedIsItsError) {
  DiskRoom room([] { return absl::StatusOr<std::uint64_t>(absl::InternalError("gone")); });
  EXPECT_TRUE(absl::IsInternal(room.Take(1, Nothing).status()));
  const test::TempDir folder;
  DiskRoom real(folder / "nowhere");
  EXPECT_FALSE(real.Take(1, Nothing).ok());
}

TEST(BytesBelowTest, FilesThatLieElsewhereTooAreLeftOut) {
  const test::TempDir folder;
  fs::create_directories(folder / "new/inner");
  std::ofstream(folder / "old") << std::string(100, 'x');
  std::ofstream(folder / "new/a") << std::string(10, 'x');
  std::ofstream(folder / "new/inner/b") << std::string(5, 'x');
  fs::create_hard_link(folder / "old", folder / "new/old");
  EXPECT_EQ(BytesBelow(folder / "new"), 15u);
  EXPECT_EQ(BytesBelow(folder / "nowhere"), 0u);
}

}  // namespace
}  // namespace atelier::server
