// Loads that are equal, and loads that nobody waits for any more.
#include "server/dispatch/model_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "tests/server/dispatch/model_loader_fixture.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using testing::Oil;
using testing::WarmFor;

class ModelLoaderOrdersTest : public testing::ModelLoaderFixture {};

TEST_F(ModelLoaderOrdersTest, EqualLoadsAreOneForTheWorkers) {
  auto worker = Connect(1);
  int answers = 0;
  const ModelVersion wide = WarmFor(Oil(1), {64, 128, 256});
  const auto order =
      loader_.Load(wide, [&](const absl::Status& status) { answers += status.ok(); });
  for (int i = 0; i < 1000; ++i) {
    loader_.Load(i % 2 == 0 ? wide : WarmFor(Oil(1), {128}),
                 [&](const absl::Status& status) { answers += status.ok(); });
  }
  EXPECT_THAT(worker->orders(), ElementsAre(order));
  loader_.Load(WarmFor(Oil(1), {128, 512}), [](const absl::Status&) {});
  loader_.Load(WarmFor(Oil(2), {128}), [](const absl::Status&) {});
  EXPECT_EQ(worker->orders().size(), 3U) << "another size, another version";
  Ready(1, Oil(1), order);
  EXPECT_EQ(answers, 1001);
  loader_.Load(wide, [](const absl::Status&) {});
  EXPECT_EQ(worker->orders().size(), 4U) << "the one before is over";
}

TEST_F(ModelLoaderOrdersTest, ALoadAfterAnUnloadIsAnOrderOfItsOwn) {
  auto worker = Connect(1);
  loader_.Load(Oil(1), [](const absl::Status&) {});
  loader_.Unload(Oil(1), [](const absl::Status&) {});
  loader_.Load(Oil(1), [](const absl::Status&) {});
  loader_.Load(Oil(1), [](const absl::Status&) {});
  EXPECT_THAT(worker->sent(), ElementsAre("welcome", "load 1", "unload 1", "load 1"));
}

TEST_F(ModelLoaderOrdersTest, ALoadThatNobodyWaitsForAnyMoreIsCancelled) {
  auto one = Connect(1);
  auto two = Connect(2);
  bool called = false;
  const auto answer = [&](const absl::Status&) { called = true; };
  const auto first = loader_.Load(Oil(1), answer);
  const auto second = loader_.Load(Oil(1), answer);
  Ready(2, Oil(1), first);
  loader_.Withdraw(first);
  EXPECT_THAT(one->sent(), ElementsAre("welcome", "load 1")) << "one still waits";
  loader_.Withdraw(second);
  loader_.Withdraw(second);
  const std::string cancel = "cancel " + std::to_string(first);
  EXPECT_THAT(one->sent(), ElementsAre("welcome", "load 1", cancel));
  EXPECT_THAT(two->sent(), ElementsAre("welcome", "load 1")) << "it is done there";
  Ready(1, Oil(1), first);
  EXPECT_FALSE(called);

  // What is only forgotten is done all the same.
  const auto kept = loader_.Load(Oil(2), answer);
  const auto joined = loader_.Load(Oil(2), answer);
  loader_.Forget(kept);
  loader_.Withdraw(joined);
  EXPECT_THAT(one->sent(), ElementsAre("welcome", "load 1", cancel, "load 2"));
}

}  // namespace
}  // namespace atelier::server
