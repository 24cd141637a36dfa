#include "worker/files/model_fetcher.h"

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <thread>
#include <utility>

#include "tests/support/wait_until.h"
#include "tests/worker/files/files_fixture.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;

class ModelFetcherTest : public test::FilesTest {
 protected:
  ModelFetcherTest() {
    files_.Put("model/oil/3", "model.json", "{}");
    files_.Put("model/oil/3", "weights.safetensors", "weights");
  }

  std::unique_ptr<BlobCache> cache_ =
      BlobCache::Open({.directory = directory_ / "cache", .max_bytes = 1000}).value();
  ModelFetcher fetcher_{*cache_, {.backoff_min = absl::Milliseconds(1)}};
};

TEST_F(ModelFetcherTest, AModelIsThereAsLongAsItsFolderIsHeld) {
  fetcher_.Use(std::move(client_));
  fs::path path;
  {
    const auto folder = fetcher_.Fetch("model/oil/3");
    ASSERT_TRUE(folder.ok()) << folder.status();
    path = (*folder)->path();
    EXPECT_EQ(test::ContentsOf(path / "model.json"), "{}");
    EXPECT_EQ(test::ContentsOf(path / "weights.safetensors"), "weights");
  }
  EXPECT_FALSE(fs::exists(path));
  ASSERT_TRUE(fetcher_.Fetch("model/oil/3").ok());
  EXPECT_EQ(files_.reads().size(), 2);  // the cache had it
}

TEST_F(ModelFetcherTest, WithoutASessionItIsAborted) {
  EXPECT_TRUE(absl::IsAborted(fetcher_.Fetch("model/oil/3").status()));
}

TEST_F(ModelFetcherTest, WhatTheSessionMayNotReadIsAborted) {
  fetcher_.Use(std::move(client_));
  EXPECT_TRUE(absl::IsAborted(fetcher_.Fetch("model/other/1").status()));
}

TEST_F(ModelFetcherTest, AModelLargerThanTheCacheIsToldAsSuch) {
  files_.Put("model/oil/3", "weights.safetensors", std::string(2000, 'w'));
  fetcher_.Use(std::move(client_));
  EXPECT_TRUE(absl::IsResourceExhausted(fetcher_.Fetch("model/oil/3").status()));
}

TEST_F(ModelFetcherTest, TheEndOfTheSessionEndsWhatIsBeingFetched) {
  fetcher_.Use(std::move(client_));
  files_.HoldReads(true);
  absl::Status outcome;
  std::thread fetching([&] { outcome = fetcher_.Fetch("model/oil/3").status(); });
  EXPECT_TRUE(test::WaitUntil([&] { return files_.waiting() > 0; }));
  fetcher_.Use(nullptr);
  fetching.join();
  EXPECT_TRUE(absl::IsAborted(outcome)) << outcome;
}

}  // namespace
}  // namespace atelier::worker
