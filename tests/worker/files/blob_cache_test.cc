#include "worker/files/blob_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <utime.h>

#include <filesystem>
#include <memory>
#include <string>

#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/files/files_fixture.h"
#include "worker/files/worker_errors.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class BlobCacheTest : public ::testing::Test {
 protected:
  std::unique_ptr<BlobCache> Open(std::uint64_t max_bytes = 1000) {
    auto cache = BlobCache::Open({.directory = directory_ / "cache", .max_bytes = max_bytes});
    EXPECT_TRUE(cache.ok()) << cache.status();
    return cache.ok() ? *std::move(cache) : nullptr;
  }

  static Blob BlobOf(const std::string& contents) {
    return {.sha256 = Sha256Hex(contents), .size = contents.size()};
  }

  static absl::Status Add(BlobCache& cache, const std::string& contents, const fs::path& target) {
    auto writer = cache.Write(BlobOf(contents));
    EXPECT_TRUE(writer.ok()) << writer.status();
    const absl::Status appended =
        (*writer)->Append(std::string_view(contents).substr((*writer)->offset()));
    return appended.ok() ? (*writer)->Commit(target) : appended;
  }

  fs::path PathOf(const std::string& contents) const {
    const std::string sha256 = Sha256Hex(contents);
    return directory_ / "cache/blobs" / sha256.substr(0, 2) / sha256;
  }

  // As if it was last used that long ago.
  void Age(const std::string& contents, int hours) const {
    const std::time_t then = std::time(nullptr) - static_cast<std::time_t>(hours) * 3600;
    const utimbuf times = {.actime = then, .modtime = then};
    ASSERT_EQ(::utime(PathOf(contents).c_str(), &times), 0);
  }

  test::TempDir directory_;
};

TEST_F(BlobCacheTest, WhatWasWrittenIsLinkedByLaterUsers) {
  const std::unique_ptr<BlobCache> cache = Open();
  const auto work = cache->NewWorkFolder();
  ASSERT_TRUE(work.ok()) << work.status();
  EXPECT_EQ(cache->Link(BlobOf("abc"), (*work)->path() / "a").value(), false);
  ASSERT_TRUE(Add(*cache, "abc", (*work)->path() / "a").ok());
  EXPECT_EQ(test::ContentsOf((*work)->path() / "a"), "abc");
  const auto other = Open()->NewWorkFolder();
  EXPECT_EQ(cache->Link(BlobOf("abc"), (*other)->path() / "b").value(), true);
  EXPECT_EQ(test::ContentsOf((*other)->path() / "b"), "abc");
  EXPECT_EQ(fs::hard_link_count(PathOf("abc")), 3);
}

TEST_F(BlobCacheTest, ABegunBlobIsGoneOnWithWhereItBroke) {
  {
    const auto writer = Open()->Write(BlobOf("abcdef"));
    ASSERT_TRUE((*writer)->Append("abc").ok());
  }
  const std::unique_ptr<BlobCache> cache = Open();
  const auto writer = cache->Write(BlobOf("abcdef"));
  EXPECT_EQ((*writer)->offset(), 3);
  ASSERT_TRUE((*writer)->Append("def").ok());
  ASSERT_TRUE((*writer)->Commit(directory_ / "target").ok());
  EXPECT_EQ(test::ContentsOf(directory_ / "target"), "abcdef");
}

TEST_F(BlobCacheTest, AWrongDigestIsDataLossAndTheNextTryBeginsAnew) {
  const std::unique_ptr<BlobCache> cache = Open();
  {
    const auto writer = cache->Write(BlobOf("abcdef"));
    ASSERT_TRUE((*writer)->Append("abcdeX").ok());
    EXPECT_TRUE(absl::IsDataLoss((*writer)->Commit(directory_ / "target")));
  }
  EXPECT_FALSE(fs::exists(directory_ / "target"));
  EXPECT_EQ((*cache->Write(BlobOf("abcdef")))->offset(), 0);
}

TEST_F(BlobCacheTest, TooManyAndTooFewBytesAreDataLoss) {
  const std::unique_ptr<BlobCache> cache = Open();
  {
    const auto writer = cache->Write(BlobOf("abc"));
    EXPECT_TRUE(absl::IsDataLoss((*writer)->Append("abcd")));
  }
  {
    const auto writer = cache->Write(BlobOf("abc"));
    ASSERT_TRUE((*writer)->Append("ab").ok());
    EXPECT_TRUE(absl::IsDataLoss((*writer)->Commit(directory_ / "target")));
  }
}

TEST_F(BlobCacheTest, ABlobThatTheDiskHasDamagedIsNotUsed) {
  const std::unique_ptr<BlobCache> cache = Open();
  ASSERT_TRUE(Add(*cache, "abcdef", directory_ / "first").ok());
  fs::permissions(PathOf("abcdef"), fs::perms::owner_write, fs::perm_options::add);
  test::WriteContents(PathOf("abcdef"), "abcdeX");
  EXPECT_EQ(cache->Link(BlobOf("abcdef"), directory_ / "second").value(), false);
  EXPECT_FALSE(fs::exists(directory_ / "second"));
  EXPECT_FALSE(fs::exists(PathOf("abcdef")));
}

TEST_F(BlobCacheTest, TwoWritersOfOneBlobDoNotMeet) {
  const std::unique_ptr<BlobCache> cache = Open();
  const auto first = cache->Write(BlobOf("abc"));
  const auto second = cache->Write(BlobOf("abc"));
  ASSERT_TRUE((*first)->Append("ab").ok());
  EXPECT_EQ((*second)->offset(), 0);
  ASSERT_TRUE((*second)->Append("abc").ok());
  ASSERT_TRUE((*second)->Commit(directory_ / "b").ok());
  ASSERT_TRUE((*first)->Append("c").ok());
  ASSERT_TRUE((*first)->Commit(directory_ / "a").ok());
  EXPECT_EQ(test::ContentsOf(directory_ / "a"), "abc");
  EXPECT_EQ(test::ContentsOf(directory_ / "b"), "abc");
  EXPECT_TRUE(fs::is_empty(directory_ / "cache/partial"));
}

TEST_F(BlobCacheTest, WhatIsBeingWrittenIsNotDroppedToMakeRoom) {
  const std::unique_ptr<BlobCache> cache = Open(1000);
  const std::string a(600, 'a');
  const auto first = cache->Write(BlobOf(a));
  const auto second = cache->Write(BlobOf(a));
  ASSERT_TRUE((*second)->Append(a).ok());
  const auto work = cache->NewWorkFolder();
  cache->MakeRoom(**work, {BlobOf(std::string(900, 'b'))}).IgnoreError();
  const absl::Status committed = (*second)->Commit(directory_ / "target");
  EXPECT_TRUE(committed.ok()) << committed;
}

TEST_F(BlobCacheTest, MakesRoomByDroppingWhatWasNotUsedForLongest) {
  const std::unique_ptr<BlobCache> cache = Open(1000);
  const std::string a(400, 'a');
  const std::string b(400, 'b');
  for (const std::string& contents : {a, b}) {
    ASSERT_TRUE(Add(*cache, contents, directory_ / "target").ok());
  }
  fs::remove(directory_ / "target");
  Age(a, 3);
  Age(b, 2);
  const auto work = cache->NewWorkFolder();
  ASSERT_TRUE(cache->Link(BlobOf(a), (*work)->path() / "a").value());  // used just now
  fs::remove((*work)->path() / "a");
  ASSERT_TRUE(cache->MakeRoom(**work, {BlobOf(std::string(500, 'c'))}).ok());
  EXPECT_TRUE(fs::exists(PathOf(a)));
  EXPECT_FALSE(fs::exists(PathOf(b)));
}

TEST_F(BlobCacheTest, WhatAWorkFolderLinksIsNeverDropped) {
  const std::unique_ptr<BlobCache> cache = Open(1000);
  const std::string a(600, 'a');
  const auto work = cache->NewWorkFolder();
  ASSERT_TRUE(Add(*cache, a, (*work)->path() / "a").ok());
  const absl::Status full = cache->MakeRoom(**work, {BlobOf(std::string(500, 'c'))});
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_THAT(std::string(full.message()), HasSubstr("--cache-bytes"));
  EXPECT_TRUE(IsOnWorker(full));
  EXPECT_TRUE(fs::exists(PathOf(a)));
  EXPECT_TRUE(cache->MakeRoom(**work, {BlobOf(std::string(400, 'c'))}).ok());
}

TEST_F(BlobCacheTest, WhatAnotherFetchHasReservedIsTaken) {
  const std::unique_ptr<BlobCache> cache = Open(1000);
  auto first = cache->NewWorkFolder();
  const auto second = Open(1000)->NewWorkFolder();
  ASSERT_TRUE(cache->MakeRoom(**first, {BlobOf(std::string(700, 'a'))}).ok());
  EXPECT_TRUE(
      absl::IsResourceExhausted(cache->MakeRoom(**second, {BlobOf(std::string(400, 'b'))})));
  (*first)->Arrived(400);
  EXPECT_TRUE(cache->MakeRoom(**second, {BlobOf(std::string(400, 'b'))}).ok());
  first->reset();
  EXPECT_TRUE(cache->MakeRoom(**second, {BlobOf(std::string(900, 'b'))}).ok());
}

TEST_F(BlobCacheTest, TheBegunPartOfABlobIsCountedOnceAndKept) {
  const std::unique_ptr<BlobCache> cache = Open(1000);
  const std::string a(900, 'a');
  {
    const auto writer = cache->Write(BlobOf(a));
    ASSERT_TRUE((*writer)->Append(a.substr(0, 500)).ok());
  }
  const auto work = cache->NewWorkFolder();
  ASSERT_TRUE(cache->MakeRoom(**work, {BlobOf(a)}).ok());
  EXPECT_EQ((*cache->Write(BlobOf(a)))->offset(), 500);
  // For others it is nobody's, and goes.
  ASSERT_TRUE((*work)->Reserve(0).ok());
  ASSERT_TRUE(cache->MakeRoom(**work, {BlobOf(std::string(800, 'b'))}).ok());
  EXPECT_EQ((*cache->Write(BlobOf(a)))->offset(), 0);
}

TEST_F(BlobCacheTest, FoldersOfDeadProcessesAreRemovedAndThoseOfLivingOnesStay) {
  fs::create_directories(directory_ / "cache/work/dead");
  test::WriteContents(directory_ / "cache/work/dead/file", "x");
  test::WriteContents(directory_ / "cache/work/dead.lock", "");
  const auto living = Open()->NewWorkFolder();
  ASSERT_TRUE(living.ok());
  const std::unique_ptr<BlobCache> cache = Open();
  EXPECT_FALSE(fs::exists(directory_ / "cache/work/dead"));
  EXPECT_FALSE(fs::exists(directory_ / "cache/work/dead.lock"));
  EXPECT_TRUE(fs::exists((*living)->path()));
}

TEST_F(BlobCacheTest, OthersMayNotLookIntoIt) {
  Open();
  EXPECT_EQ(fs::status(directory_ / "cache").permissions(), fs::perms::owner_all);
}

TEST_F(BlobCacheTest, ErrorsOfItsDiskSayWhoseDiskItIs) {
  const std::unique_ptr<BlobCache> cache = Open();
  const auto work = cache->NewWorkFolder();
  ASSERT_TRUE(work.ok());
  fs::remove_all(directory_ / "cache");
  EXPECT_TRUE(IsOnWorker(cache->NewWorkFolder().status()));
  EXPECT_TRUE(IsOnWorker(cache->MakeRoom(**work, {BlobOf("a")})));
  EXPECT_TRUE(IsOnWorker(cache->Write(BlobOf("a")).status()));
}

TEST_F(BlobCacheTest, AFolderThatCannotBeMadeIsAnError) {
  test::WriteContents(directory_ / "cache", "a file");
  EXPECT_FALSE(BlobCache::Open({.directory = directory_ / "cache"}).ok());
}

}  // namespace
}  // namespace atelier::worker
