#include "worker/serve/model_orders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "tests/support/wait_until.h"
#include "tests/worker/serve/fake_stylizer.h"

namespace atelier::worker {
namespace {

using ::testing::ElementsAre;

ModelSource SourceIn(const std::string& directory) {
  return {.name = "model", .version = 1, .directory = directory, .weights_sha256 = "aa"};
}

// Orders pile up behind the load of "a", order 1, until Release.
class ModelOrdersTest : public ::testing::Test {
 protected:
  ModelOrdersTest() {
    cache_.Watch({}, [this](const ModelEvent& event) {
      const char* state = event.state == ModelEvent::State::kReady    ? "ready "
                          : event.state == ModelEvent::State::kFailed ? "failed "
                                                                      : "unloaded ";
      const absl::MutexLock lock(&mutex_);
      told_.push_back(state + event.model.directory + " " + std::to_string(event.order));
    });
  }
  ~ModelOrdersTest() override {
    models_.HoldLoads(false);
    background_.Stop();
  }

  void Load(const std::string& directory, std::uint64_t order,
            std::vector<std::uint32_t> sizes = {}) {
    orders_.Load(SourceIn(directory), std::move(sizes), order, [this] { ++done_; });
  }
  void HoldAtFirst() {
    models_.HoldLoads(true);
    Load("a", 1);
    ASSERT_TRUE(test::WaitUntil([&] { return models_.loading() == 1; }));
  }
  // What the observer was told, once `loads` are over.
  std::vector<std::string> Release(int loads) {
    models_.HoldLoads(false);
    EXPECT_TRUE(test::WaitUntil([&] { return done_ == loads; }));
    const absl::MutexLock lock(&mutex_);
    return told_;
  }

  test::FakeModels models_;
  std::vector<std::uint32_t> warmed_;
  std::function<void()> while_warming_ = [] {};
  ModelCache cache_{[this] {
    ModelCache::Options options = models_.CacheOptions(10, 100);
    options.warm_up = [this](infer::Model&, const std::vector<std::uint32_t>& sizes) {
      warmed_.insert(warmed_.end(), sizes.begin(), sizes.end());
      while_warming_();
      return absl::OkStatus();
    };
    return options;
  }()};
  Background background_{[] {}};
  ModelOrders orders_{cache_, background_};
  std::atomic<int> done_ = 0;
  absl::Mutex mutex_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(ModelOrdersTest, AnUnloadGoesFirstAndEndsTheLoadsOfItsModelThatCameBeforeIt) {
  HoldAtFirst();
  Load("b", 2);
  Load("c", 3);
  Load("b", 4);
  orders_.Unload(SourceIn("b"));
  Load("b", 5);
  EXPECT_THAT(Release(5), ElementsAre("ready a 1", "failed b 2", "failed b 4", "unloaded b 0",
                                      "ready c 3", "ready b 5"));
  EXPECT_THAT(models_.loads(), ElementsAre("a", "c", "b"));
}

TEST_F(ModelOrdersTest, ALoadThatIsCancelledBeforeItsTurnIsNotDone) {
  HoldAtFirst();
  Load("b", 2);
  Load("c", 3);
  orders_.Cancel(2);
  EXPECT_EQ(done_, 1) << "nothing is left to wait for";
  orders_.Cancel(2);
  orders_.Cancel(99);
  EXPECT_THAT(Release(3), ElementsAre("ready a 1", "ready c 3"));
  EXPECT_THAT(models_.loads(), ElementsAre("a", "c"));
}

TEST_F(ModelOrdersTest, ALoadThatIsCancelledAtWorkStopsBeforeItsNextSize) {
  while_warming_ = [this] { orders_.Cancel(1); };
  Load("a", 1, {64, 128, 256});
  EXPECT_THAT(Release(1), ElementsAre("ready a 0", "failed a 1"));
  EXPECT_THAT(warmed_, ElementsAre(64));
}

TEST_F(ModelOrdersTest, ManyLoadsOfOneModelDoNotHoldUpAnothers) {
  HoldAtFirst();
  Load("a", 2);
  Load("a", 3);
  Load("b", 4);
  Load("a", 5);
  EXPECT_THAT(Release(5),
              ElementsAre("ready a 1", "ready b 4", "ready a 2", "ready a 3", "ready a 5"));
}

}  // namespace
}  // namespace atelier::worker
