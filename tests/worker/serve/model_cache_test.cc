#include "worker/serve/model_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
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

TEST_F(ModelCacheTest, AModelThatGrowsWithItsUseMakesOthersGo) {
  class GrowingModel final : public infer::Model {
   public:
    explicit GrowingModel(const std::atomic<std::uint64_t>& bytes) : bytes_(bytes) {}
    const ModelSpec& spec() const override { return spec_; }
    std::uint64_t bytes() const override { return bytes_; }

   private:
    const std::atomic<std::uint64_t>& bytes_;
    const ModelSpec spec_;
  };
  std::atomic<std::uint64_t> bytes_of_a = 10;
  const std::atomic<std::uint64_t> bytes_of_others = 10;
  ModelCache::Options options;
  options.budget_bytes = 35;
  options.load = [&](const infer::ModelOptions& wanted) {
    return std::make_unique<GrowingModel>(wanted.directory == "a" ? bytes_of_a : bytes_of_others);
  };
  ModelCache cache(options);
  for (const char* directory : {"b", "c", "a"}) {
    ASSERT_TRUE(cache.Get(Source(directory)).ok());
  }
  std::vector<std::string> unloaded;
  cache.Watch({}, [&](const ModelEvent& event) {
    if (event.state == ModelEvent::State::kUnloaded) {
      unloaded.push_back(event.model.directory);
    }
  });
  bytes_of_a = 20;  // its first pass in another precision
  EXPECT_NE(cache.InMemory(Source("a")), nullptr);
  EXPECT_THAT(unloaded, ElementsAre("b"));
  EXPECT_EQ(cache.figures().bytes, 30U);
  bytes_of_a = 100;
  EXPECT_NE(cache.InMemory(Source("a")), nullptr) << "the one that is used stays";
  EXPECT_THAT(unloaded, ElementsAre("b", "c"));
}

TEST_F(ModelCacheTest, AModelInUseOutlivesItsPlaceInTheCache) {
  const auto cache = models_.MakeCache(/*bytes=*/10, /*budget=*/15);
  const auto used = cache->Get(Source("a"));
  ASSERT_TRUE(used.ok());
  ASSERT_TRUE(cache->Get(Source("b")).ok());
  EXPECT_EQ((*used)->bytes(), 10);
}

// Everything that an observer was told, as "ready a", or "ready a 1" where that answers order 1.
class Told {
 public:
  ModelCache::Observer Observer() {
    return [this](const ModelEvent& event) {
      absl::MutexLock lock(&mu_);
      const char* state = event.state == ModelEvent::State::kReady    ? "ready "
                          : event.state == ModelEvent::State::kFailed ? "failed "
                                                                      : "unloaded ";
      told_.push_back(state + event.model.directory +
                      (event.order == 0 ? "" : " " + std::to_string(event.order)));
    };
  }
  std::vector<std::string> told() {
    absl::MutexLock lock(&mu_);
    return told_;
  }

 private:
  absl::Mutex mu_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mu_);
};

TEST_F(ModelCacheTest, AModelIsInMemoryOnceItsLoadHasEnded) {
  const auto cache = models_.MakeCache(10, 100);
  EXPECT_EQ(cache->InMemory(Source("a")), nullptr);
  models_.HoldLoads(true);
  std::thread slow([&] { EXPECT_TRUE(cache->Get(Source("a")).ok()); });
  EXPECT_TRUE(test::WaitUntil([&] { return models_.loading() == 1; }));
  EXPECT_EQ(cache->InMemory(Source("a")), nullptr);
  models_.HoldLoads(false);
  slow.join();
  EXPECT_NE(cache->InMemory(Source("a")), nullptr);
}

TEST_F(ModelCacheTest, AKeptModelGoesAfterAllOthers) {
  const auto cache = models_.MakeCache(/*bytes=*/10, /*budget=*/25);
  cache->Keep(Source("kept"), {}, 1);
  for (const char* directory : {"a", "b", "c"}) {
    ASSERT_TRUE(cache->Get(Source(directory)).ok());
    EXPECT_NE(cache->InMemory(Source("kept")), nullptr);
  }
  // Two that are kept and a third model: of the kept ones the one used longest ago goes.
  cache->Keep(Source("c"), {}, 1);
  ASSERT_TRUE(cache->Get(Source("d")).ok());
  EXPECT_EQ(cache->InMemory(Source("kept")), nullptr);
  EXPECT_NE(cache->InMemory(Source("c")), nullptr);
}

TEST_F(ModelCacheTest, ADroppedModelIsKeptNoMore) {
  const auto cache = models_.MakeCache(/*bytes=*/10, /*budget=*/25);
  cache->Keep(Source("a"), {}, 1);
  cache->Drop(Source("a"));
  for (const char* directory : {"a", "b", "c"}) {
    ASSERT_TRUE(cache->Get(Source(directory)).ok());
  }
  EXPECT_EQ(cache->InMemory(Source("a")), nullptr);
}

TEST_F(ModelCacheTest, NobodyGetsAModelBeforeItIsWarm) {
  ModelCache::Options options = models_.CacheOptions(10, 100);
  ModelCache* inside = nullptr;
  std::vector<std::uint32_t> warmed;
  bool seen_cold = false;
  options.warm_up = [&](infer::Model&, const std::vector<std::uint32_t>& sizes) {
    warmed.insert(warmed.end(), sizes.begin(), sizes.end());
    seen_cold = seen_cold || inside->InMemory(Source("a")) != nullptr;
    return absl::OkStatus();
  };
  ModelCache cache(std::move(options));
  inside = &cache;
  cache.Keep(Source("a"), {64, 128}, 1);
  EXPECT_THAT(warmed, ElementsAre(64, 128));
  EXPECT_FALSE(seen_cold);
  EXPECT_NE(cache.InMemory(Source("a")), nullptr);
  // Once it is there it stays to be had while further sizes are warmed.
  cache.Keep(Source("a"), {128, 256}, 2);
  EXPECT_THAT(warmed, ElementsAre(64, 128, 256));
  EXPECT_TRUE(seen_cold);
}

TEST_F(ModelCacheTest, ALoadThatIsGivenUpWarmsNoMoreAndTasksThatWaitGetTheModel) {
  ModelCache::Options options = models_.CacheOptions(10, 25);
  std::vector<std::uint32_t> warmed;
  options.warm_up = [&](infer::Model&, const std::vector<std::uint32_t>& sizes) {
    warmed.insert(warmed.end(), sizes.begin(), sizes.end());
    return absl::OkStatus();
  };
  ModelCache cache(std::move(options));
  Told told;
  cache.Watch({}, told.Observer());
  const auto two_of = [&] { return warmed.size() < 2; };
  cache.Keep(Source("a"), {64, 128, 256}, 1, two_of);
  EXPECT_NE(cache.InMemory(Source("a")), nullptr);
  cache.Keep(Source("a"), {64, 128, 256}, 2, two_of);
  EXPECT_THAT(warmed, ElementsAre(64, 128));
  cache.Keep(Source("a"), {64, 128, 256}, 3);
  EXPECT_THAT(warmed, ElementsAre(64, 128, 256)) << "what was done stays done";
  EXPECT_THAT(told.told(), ElementsAre("ready a", "failed a 1", "failed a 2", "ready a 3"));
}

TEST_F(ModelCacheTest, AnObserverIsToldWhatComesAndGoesInOrder) {
  const auto cache = models_.MakeCache(/*bytes=*/10, /*budget=*/25);
  Told told;
  cache->Watch({}, told.Observer());
  models_.FailLoads("broken", absl::DataLossError("checksum"));
  cache->Keep(Source("broken"), {}, 1);
  cache->Keep(Source("a"), {}, 2);
  cache->Keep(Source("a"), {}, 3);
  ASSERT_TRUE(cache->Get(Source("b")).ok());
  ASSERT_TRUE(cache->Get(Source("c")).ok());
  EXPECT_FALSE(cache->Get(Source("broken")).ok());  // a task's caller is told, nobody else
  cache->Drop(Source("a"));
  cache->Drop(Source("never"));
  EXPECT_THAT(told.told(), ElementsAre("failed broken 1", "ready a 2", "ready a 3", "ready b",
                                       "ready c", "unloaded b", "unloaded a", "unloaded never"));
}

TEST_F(ModelCacheTest, ANewObserverIsToldWhatIsThereAndWhatOfItsKnownIsNot) {
  const auto cache = models_.MakeCache(10, 100);
  Told before;
  cache->Watch({}, before.Observer());
  ASSERT_TRUE(cache->Get(Source("a")).ok());
  Told told;
  cache->Watch({Source("a"), Source("gone")}, told.Observer());
  EXPECT_THAT(told.told(), ElementsAre("unloaded gone", "ready a"));
  cache->Watch({}, nullptr);
  cache->Drop(Source("a"));
  EXPECT_THAT(told.told(), ElementsAre("unloaded gone", "ready a"));
  EXPECT_THAT(before.told(), ElementsAre("ready a"));
}

TEST_F(ModelCacheTest, AModelIsDisposedOfWhenItsLastUserLetsGo) {
  ModelCache::Options options = models_.CacheOptions(10, 100);
  int disposed = 0;
  options.dispose = [&](const std::unique_ptr<infer::Model>& model) {
    EXPECT_NE(model, nullptr);
    ++disposed;
  };
  ModelCache cache(std::move(options));
  auto used = cache.Get(Source("a"));
  ASSERT_TRUE(used.ok());
  cache.Drop(Source("a"));
  EXPECT_EQ(disposed, 0);
  used = absl::UnknownError("let go");
  EXPECT_EQ(disposed, 1);
}

}  // namespace
}  // namespace atelier::worker
