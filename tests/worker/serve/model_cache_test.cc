#include "worker/serve/model_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/wait_until.h"
#include "tests/worker/serve/fake_stylizer.h"

namespace atelier::worker {
namespace {

using ::testing::ElementsAre;

ModelSource Source(const std::string& directory, std::uint32_t version = 1,
                   const std::string& sha256 = "aa") {
  return {.name = "model", .version = version, .directory = directory, .weights_sha256 = sha256};
}

class ModelCacheTest : public ::testing::Test {
 protected:
  test::FakeModels models_;
};

TEST_F(ModelCacheTest, LoadsAModelOnce) {
  const auto cache = models_.MakeCache(10, 100);
  const auto first = cache->Get(Source("a"));
  const auto second = cache->Get(Source("a"));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_THAT(models_.loads(), ElementsAre("a"));
  EXPECT_EQ(cache->figures().models, 1);
  EXPECT_EQ(cache->figures().bytes, 10);
}

TEST_F(ModelCacheTest, AnotherDirectoryVersionOrChecksumIsAnotherModel) {
  const auto cache = models_.MakeCache(10, 100);
  ASSERT_TRUE(cache->Get(Source("a", 1, "aa")).ok());
  ASSERT_TRUE(cache->Get(Source("b", 1, "aa")).ok());
  ASSERT_TRUE(cache->Get(Source("a", 2, "aa")).ok());
  ASSERT_TRUE(cache->Get(Source("a", 1, "bb")).ok());
  EXPECT_EQ(cache->figures().models, 4);
}

TEST_F(ModelCacheTest, RequestsThatCollideWaitForOneLoad) {
  const auto cache = models_.MakeCache(10, 100);
  models_.HoldLoads(true);
  std::vector<std::thread> threads;
  std::atomic<int> loaded = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { loaded += cache->Get(Source("a")).ok(); });
  }
  EXPECT_TRUE(test::WaitUntil([&] { return models_.loading() == 1; }));
  EXPECT_EQ(loaded, 0);
  models_.HoldLoads(false);
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(loaded, 4);
  EXPECT_THAT(models_.loads(), ElementsAre("a"));
}

TEST_F(ModelCacheTest, ALoadDoesNotHoldUpAnotherModel) {
  const auto cache = models_.MakeCache(10, 100);
  ASSERT_TRUE(cache->Get(Source("b")).ok());
  models_.HoldLoads(true);
  std::thread slow([&] { EXPECT_TRUE(cache->Get(Source("a")).ok()); });
  EXPECT_TRUE(test::WaitUntil([&] { return models_.loading() == 1; }));
  EXPECT_TRUE(cache->Get(Source("b")).ok());
  models_.HoldLoads(false);
  slow.join();
}

TEST_F(ModelCacheTest, AFailedLoadIsToldAndTriedAgainNextTime) {
  const auto cache = models_.MakeCache(10, 100);
  models_.FailLoads("a", absl::DataLossError("checksum"));
  EXPECT_EQ(cache->Get(Source("a")).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(cache->figures().models, 0);
  models_.FailLoads("a", absl::OkStatus());
  EXPECT_TRUE(cache->Get(Source("a")).ok());
}

TEST_F(ModelCacheTest, AnExceptionInALoadIsAnErrorAndDoesNotLockTheModel) {
  ModelCache::Options options;
  bool throws = true;
  options.load = [&](const infer::ModelOptions&) -> absl::StatusOr<std::unique_ptr<infer::Model>> {
    if (throws) {
      throw std::runtime_error("/secret/path");
    }
    return absl::NotFoundError("gone");
  };
  ModelCache cache(options);
  const absl::Status status = cache.Get(Source("a")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), ::testing::Not(::testing::HasSubstr("secret")));
  throws = false;
  EXPECT_EQ(cache.Get(Source("a")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelCacheTest, TheLeastRecentlyUsedModelsGoWhenTheBytesRunOut) {
  const auto cache = models_.MakeCache(/*bytes=*/10, /*budget=*/25);
  ASSERT_TRUE(cache->Get(Source("a")).ok());
  ASSERT_TRUE(cache->Get(Source("b")).ok());
  ASSERT_TRUE(cache->Get(Source("a")).ok());
  ASSERT_TRUE(cache->Get(Source("c")).ok());  // b goes
  EXPECT_EQ(cache->figures().models, 2);
  EXPECT_EQ(cache->figures().bytes, 20);
  ASSERT_TRUE(cache->Get(Source("a")).ok());
  ASSERT_TRUE(cache->Get(Source("b")).ok());
  EXPECT_THAT(models_.loads(), ElementsAre("a", "b", "c", "b"));
}

TEST_F(ModelCacheTest, AModelLargerThanTheBudgetStaysUntilTheNext) {
  const auto cache = models_.MakeCache(/*bytes=*/100, /*budget=*/25);
  ASSERT_TRUE(cache->Get(Source("a")).ok());
  ASSERT_TRUE(cache->Get(Source("a")).ok());
  EXPECT_EQ(cache->figures().models, 1);
  ASSERT_TRUE(cache->Get(Source("b")).ok());
  EXPECT_EQ(cache->figures().models, 1);
  EXPECT_THAT(models_.loads(), ElementsAre("a", "b"));
}

TEST_F(ModelCacheTest, AModelInUseOutlivesItsPlaceInTheCache) {
  const auto cache = models_.MakeCache(/*bytes=*/10, /*budget=*/15);
  const auto used = cache->Get(Source("a"));
  ASSERT_TRUE(used.ok());
  ASSERT_TRUE(cache->Get(Source("b")).ok());
  EXPECT_EQ((*used)->bytes(), 10);
}

}  // namespace
}  // namespace atelier::worker
