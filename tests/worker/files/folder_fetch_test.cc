#include "worker/files/folder_fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/wait_until.h"
#include "tests/worker/files/files_fixture.h"
#include "worker/files/worker_errors.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class FolderFetchTest : public test::FilesTest {
 protected:
  FolderFetchTest() { OpenCache(1U << 20U); }

  void OpenCache(std::uint64_t max_bytes) {
    work_.reset();
    cache_ = BlobCache::Open({.directory = directory_ / "cache", .max_bytes = max_bytes}).value();
    work_ = cache_->NewWorkFolder().value();
  }

  absl::Status Fetch(const std::string& folder) {
    FolderFetch fetch(*client_, *cache_, *work_, options_);
    return fetch.Run({{.name = folder, .target = target()}});
  }

  // Fetches, and does `meanwhile` while `reads` files are being read.
  absl::Status FetchWhile(int reads, const std::function<void()>& meanwhile) {
    files_.HoldReads(true);
    absl::Status outcome;
    std::thread fetching([&] { outcome = Fetch("content"); });
    EXPECT_TRUE(test::WaitUntil([&] { return files_.waiting() == reads; }));
    meanwhile();
    files_.HoldReads(false);
    fetching.join();
    return outcome;
  }

  fs::path target() const { return work_->path() / "set"; }

  FolderFetch::Options options_ = {.threads = 2,
                                   .backoff_min = absl::Milliseconds(1),
                                   .backoff_max = absl::Milliseconds(5),
                                   .patience = absl::Seconds(10),
                                   .relist_pause = absl::Milliseconds(1)};
  std::unique_ptr<BlobCache> cache_;
  std::unique_ptr<WorkFolder> work_;
};

TEST_F(FolderFetchTest, BringsTheWholeFolderAndEqualContentsOnce) {
  files_.Put("content", "a.jpg", std::string(5000, 'a'));
  files_.Put("content", "shirts/b.jpg", "b");
  files_.Put("content", "shirts/copy.jpg", "b");
  files_.Put("content", "empty", "");
  ASSERT_TRUE(Fetch("content").ok());
  EXPECT_EQ(test::ContentsOf(target() / "a.jpg"), std::string(5000, 'a'));
  EXPECT_EQ(test::ContentsOf(target() / "shirts/b.jpg"), "b");
  EXPECT_EQ(test::ContentsOf(target() / "shirts/copy.jpg"), "b");
  EXPECT_EQ(test::ContentsOf(target() / "empty"), "");
  const auto reads = files_.reads();
  ASSERT_THAT(reads, SizeIs(2));
  EXPECT_EQ(reads[0].session, test::kSession);
}

TEST_F(FolderFetchTest, AnEmptyFolderIsThereToo) {
  files_.Put("content", "x", "");
  files_.Remove("content", "x");
  ASSERT_TRUE(Fetch("content").ok());
  EXPECT_TRUE(fs::is_directory(target()));
}

TEST_F(FolderFetchTest, WhatIsInTheCacheIsNotFetchedAgain) {
  files_.Put("content", "a.jpg", "aaa");
  ASSERT_TRUE(Fetch("content").ok());
  OpenCache(1U << 20U);
  files_.Put("content", "b.jpg", "bbb");
  ASSERT_TRUE(Fetch("content").ok());
  EXPECT_EQ(test::ContentsOf(target() / "a.jpg"), "aaa");
  ASSERT_THAT(files_.reads(), SizeIs(2));
  EXPECT_EQ(files_.reads()[1].path, "b.jpg");
}

TEST_F(FolderFetchTest, ABrokenReadGoesOnWhereItBroke) {
  files_.Put("content", "a.jpg", std::string(4000, 'a') + std::string(4000, 'b'));
  files_.CutReadsAfter(3000, 1);
  ASSERT_TRUE(Fetch("content").ok());
  EXPECT_EQ(test::ContentsOf(target() / "a.jpg"), std::string(4000, 'a') + std::string(4000, 'b'));
  ASSERT_THAT(files_.reads(), SizeIs(2));
  EXPECT_EQ(files_.reads()[1].offset, 3000);
}

TEST_F(FolderFetchTest, ALinkThatBreaksAgainAndAgainIsBorneAsLongAsBytesCome) {
  constexpr int kCuts = 30;
  options_.backoff_min = options_.backoff_max = absl::Milliseconds(50);
  options_.patience = absl::Seconds(1);  // less than all the pauses together
  files_.Put("content", "a.jpg", std::string(40'000, 'a'));
  files_.CutReadsAfter(1000, kCuts);
  EXPECT_TRUE(Fetch("content").ok());
  EXPECT_THAT(files_.reads(), SizeIs(kCuts + 1));
}

TEST_F(FolderFetchTest, AServerThatIsNeverReachedIsGivenUp) {
  options_.patience = absl::Milliseconds(20);
  files_.Put("content", "a.jpg", "aaa");
  files_.CutReadsAfter(0, 1'000'000);
  EXPECT_TRUE(absl::IsUnavailable(Fetch("content")));
}

TEST_F(FolderFetchTest, ADamagedFileIsFetchedOnceMoreAndThenGivenUp) {
  files_.Put("content", "a.jpg", "aaa");
  files_.Damage("a.jpg", 1);
  EXPECT_TRUE(Fetch("content").ok());
  EXPECT_THAT(files_.reads(), SizeIs(2));

  files_.Put("content", "b.jpg", "bbb");
  files_.Damage("b.jpg", 1000);
  EXPECT_TRUE(absl::IsDataLoss(Fetch("content")));
  EXPECT_THAT(files_.reads(), SizeIs(2 + 4));  // it may have been replaced: listed once more
  EXPECT_FALSE(fs::exists(target() / "b.jpg"));
}

TEST_F(FolderFetchTest, PathsThatLeadOutOfTheFolderAreRefused) {
  for (const char* path : {"../evil", "/etc/evil", "a/../../evil", "a//b", "./a", "", ".hidden"}) {
    const std::string folder = "set " + std::string(path);
    files_.Put(folder, "a", "a");
    files_.ListAlso(folder, path);
    EXPECT_TRUE(absl::IsInvalidArgument(Fetch(folder))) << path;
  }
  EXPECT_THAT(files_.reads(), SizeIs(0));
  EXPECT_FALSE(fs::exists(directory_ / "cache/work/evil"));
}

TEST_F(FolderFetchTest, AFileThatIsListedAsAFolderTooIsAnErrorAndNothingMore) {
  files_.Put("content", "a", "a");
  files_.Put("content", "a/b", "b");
  EXPECT_FALSE(Fetch("content").ok());
}

TEST_F(FolderFetchTest, WhatDoesNotFitIsNotBegun) {
  OpenCache(1000);
  files_.Put("content", "a", std::string(2000, 'a'));
  EXPECT_TRUE(absl::IsResourceExhausted(Fetch("content")));
  EXPECT_THAT(files_.reads(), SizeIs(0));
}

TEST_F(FolderFetchTest, AFolderThatTheSessionWasNotToldOfIsRefused) {
  EXPECT_TRUE(absl::IsPermissionDenied(Fetch("model/other/1")));
}

TEST_F(FolderFetchTest, FilesThatGoMeanwhileAreListedAgain) {
  files_.Put("content", "a", "a");
  files_.FailNextRead(grpc::Status(grpc::StatusCode::NOT_FOUND, "gone"));
  EXPECT_TRUE(Fetch("content").ok());

  files_.Put("content", "b", "b");
  for (int i = 0; i < 5; ++i) {
    files_.FailNextRead(grpc::Status(grpc::StatusCode::NOT_FOUND, "gone"));
  }
  const absl::Status status = Fetch("content");
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("change"));
}

TEST_F(FolderFetchTest, WhatIsNotListedAnyMoreIsNotThereAnyMore) {
  files_.Put("content", "a", "a");
  ASSERT_TRUE(Fetch("content").ok());
  OpenCache(1U << 20U);
  files_.Put("content", "b", "b");
  const absl::Status status = FetchWhile(1, [&] {
    files_.Remove("content", "a");  // which was taken from the cache already
    files_.FailNextRead(grpc::Status(grpc::StatusCode::NOT_FOUND, "gone"));
  });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_FALSE(fs::exists(target() / "a"));
  EXPECT_EQ(test::ContentsOf(target() / "b"), "b");
}

TEST_F(FolderFetchTest, AFileThatIsReplacedMeanwhileComesAsItIsNow) {
  for (const char* replaced : {"new", "n", "much newer"}) {
    files_.Put("content", "a", "old");
    const absl::Status status = FetchWhile(1, [&] { files_.Put("content", "a", replaced); });
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(test::ContentsOf(target() / "a"), replaced);
    OpenCache(1U << 20U);
  }
}

TEST_F(FolderFetchTest, FoldersThatChangeAreListedAgainAfterAPauseOnly) {
  options_.relist_pause = absl::Hours(1);
  files_.Put("content", "a", "a");
  files_.FailNextRead(grpc::Status(grpc::StatusCode::NOT_FOUND, "gone"));
  absl::Status outcome;
  std::thread fetching([&] { outcome = Fetch("content"); });
  EXPECT_TRUE(test::WaitUntil([&] { return files_.reads().size() == 1; }));
  client_->Cancel();
  fetching.join();
  EXPECT_TRUE(absl::IsCancelled(outcome)) << outcome;
  EXPECT_THAT(files_.reads(), SizeIs(1));
}

TEST_F(FolderFetchTest, WhatIsMissingHereIsNoChangeOnTheServer) {
  files_.Put("content", "a", "a");
  // The cache's own folder goes while the file is on its way.
  const absl::Status status = FetchWhile(1, [&] { fs::remove_all(directory_ / "cache/partial"); });
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_TRUE(IsOnWorker(status)) << status;
  EXPECT_THAT(files_.reads(), SizeIs(1));
}

TEST_F(FolderFetchTest, ABusyServerIsAskedAgainAndAFullDiskIsNot) {
  files_.Put("content", "a", "a");
  // Both are gRPC's words, not the server's.
  for (const char* sentence : {"Server Threadpool Exhausted", "Bandwidth exhausted"}) {
    files_.FailNextRead(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, sentence));
  }
  EXPECT_TRUE(Fetch("content").ok());
  EXPECT_THAT(files_.reads(), SizeIs(3));

  files_.Put("content", "b", "b");
  for (const char* sentence :
       {"on the server: the disk is full", "the folder holds more than 400000 files"}) {
    files_.FailNextRead(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, sentence));
    EXPECT_TRUE(absl::IsResourceExhausted(Fetch("content")));
  }
  EXPECT_THAT(files_.reads(), SizeIs(5));
}

TEST_F(FolderFetchTest, CancelEndsAFetchThatWaitsForTheServer) {
  files_.Put("content", "a", "a");
  files_.HoldReads(true);
  absl::Status outcome;
  std::thread fetching([&] { outcome = Fetch("content"); });
  EXPECT_TRUE(test::WaitUntil([&] { return files_.waiting() == 1; }));
  client_->Cancel();
  fetching.join();
  EXPECT_TRUE(absl::IsCancelled(outcome)) << outcome;
  EXPECT_TRUE(absl::IsCancelled(Fetch("content")));
}

}  // namespace
}  // namespace atelier::worker
