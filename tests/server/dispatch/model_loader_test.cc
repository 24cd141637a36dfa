#include "server/dispatch/model_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/dispatch/model_loader_fixture.h"

namespace atelier::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Oil;
using ::testing::UnorderedElementsAre;
using testing::WarmFor;

class ModelLoaderTest : public testing::ModelLoaderFixture {};

TEST_F(ModelLoaderTest, ALoadIsDoneWhenEveryWorkerHasIt) {
  auto one = Connect(1);
  auto two = Connect(2, {Oil(1)});
  std::optional<absl::Status> answer;
  const auto order = loader_.Load(Oil(1), Into(answer));
  EXPECT_THAT(one->sent(), ElementsAre("welcome", "load 1"));
  EXPECT_THAT(two->sent(), ElementsAre("welcome", "load 1")) << "to be warmed and kept";
  EXPECT_EQ(loader_.LoadedWorkers(Oil(1)), 1U);
  Ready(2, Oil(1), order);
  Ready(1, Oil(2), order);
  EXPECT_FALSE(answer.has_value());
  Ready(1, Oil(1), order);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->ok());
  EXPECT_EQ(loader_.LoadedWorkers(Oil(1)), 2U);
  EXPECT_EQ(loader_.LoadedWorkers(Oil(2)), 1U);
  EXPECT_THAT(loader_.LoadedBy(1),
              UnorderedElementsAre(Oil(1).weights_sha256, Oil(2).weights_sha256));
}

TEST_F(ModelLoaderTest, AModelThatComesForATaskDoesNotAnswerALoad) {
  auto worker = Connect(1);
  std::optional<absl::Status> first;
  std::optional<absl::Status> second;
  loader_.Load(Oil(1), Into(first));
  loader_.Load(WarmFor(Oil(1), {64}), Into(second));
  const std::vector<std::uint64_t> orders = worker->orders();
  ASSERT_EQ(orders.size(), 2U);
  EXPECT_NE(orders[0], 0U);
  EXPECT_NE(orders[0], orders[1]);
  Ready(1, Oil(1));
  EXPECT_EQ(loader_.LoadedWorkers(Oil(1)), 1U) << "it is there, and cold";
  Failed(1, Oil(1));
  EXPECT_FALSE(first.has_value());
  Ready(1, Oil(1), orders[0]);
  ASSERT_TRUE(first.has_value());
  EXPECT_TRUE(first->ok());
  EXPECT_FALSE(second.has_value()) << "wants other sizes";
  Ready(1, Oil(1), orders[0]);
  EXPECT_FALSE(second.has_value());
  Ready(1, Oil(1), orders[1]);
  EXPECT_TRUE(second.has_value());
}

TEST_F(ModelLoaderTest, WithoutWorkersALoadIsUnavailableAndAnUnloadDone) {
  std::optional<absl::Status> load;
  std::optional<absl::Status> unload;
  loader_.Load(Oil(1), Into(load));
  loader_.Unload(Oil(1), Into(unload));
  EXPECT_TRUE(absl::IsUnavailable(*load));
  EXPECT_TRUE(unload->ok());
}

TEST_F(ModelLoaderTest, TheFirstFailureEndsALoadAndTakesItBackWhereItWasNew) {
  auto had_it = Connect(1, {Oil(1)});
  auto fresh = Connect(2);
  auto failing = Connect(3);
  std::optional<absl::Status> answer;
  const auto order = loader_.Load(Oil(1), Into(answer));
  Ready(2, Oil(1), order);
  Failed(3, Oil(1), order);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(absl::IsDataLoss(*answer));
  EXPECT_EQ(answer->message(), "damaged");
  EXPECT_THAT(had_it->sent(), ElementsAre("welcome", "load 1"));
  EXPECT_THAT(fresh->sent(), ElementsAre("welcome", "load 1", "unload 1"));
  EXPECT_THAT(failing->sent(), ElementsAre("welcome", "load 1", "unload 1"));
  Ready(1, Oil(1), order);  // late
}

TEST_F(ModelLoaderTest, LoadsOfOneVersionFailOneByOneAndTheLastTakesBack) {
  auto one = Connect(1);
  auto two = Connect(2);
  std::optional<absl::Status> first;
  std::optional<absl::Status> second;
  std::optional<absl::Status> other;
  const auto first_order = loader_.Load(Oil(1), Into(first));
  Ready(1, Oil(1), first_order);
  const auto second_order = loader_.Load(WarmFor(Oil(1), {64}), Into(second));
  loader_.Load(Oil(2), Into(other));
  Failed(2, Oil(1), first_order);
  EXPECT_TRUE(absl::IsDataLoss(*first));
  EXPECT_FALSE(second.has_value());
  EXPECT_THAT(one->sent(), ElementsAre("welcome", "load 1", "load 1", "load 2"))
      << "the second still wants it";
  Failed(2, Oil(1), second_order);
  EXPECT_TRUE(absl::IsDataLoss(*second));
  EXPECT_FALSE(other.has_value());
  EXPECT_THAT(one->sent(), ElementsAre("welcome", "load 1", "load 1", "load 2", "unload 1"))
      << "the first load brought it there";
  EXPECT_THAT(two->sent(), ElementsAre("welcome", "load 1", "load 1", "load 2", "unload 1"));
}

TEST_F(ModelLoaderTest, AnUnloadIsDoneWhenNoWorkerHasIt) {
  auto one = Connect(1, {Oil(1)});
  auto two = Connect(2);
  std::optional<absl::Status> answer;
  loader_.Unload(Oil(1), Into(answer));
  EXPECT_THAT(one->sent(), ElementsAre("welcome", "unload 1"));
  Unloaded(2, Oil(1));
  EXPECT_FALSE(answer.has_value());
  Unloaded(1, Oil(1));
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->ok());
  EXPECT_EQ(loader_.LoadedWorkers(Oil(1)), 0U);
}

TEST_F(ModelLoaderTest, AWorkerThatIsLostNoLongerCounts) {
  Connect(1);
  Connect(2);
  std::optional<absl::Status> load;
  std::optional<absl::Status> unload;
  const auto order = loader_.Load(Oil(1), Into(load));
  loader_.Unload(Oil(2), Into(unload));
  Ready(1, Oil(1), order);
  Unloaded(1, Oil(2));
  loader_.RemoveWorker(2);
  EXPECT_TRUE(load->ok());
  EXPECT_TRUE(unload->ok());
  EXPECT_EQ(loader_.Workers(), 1U);

  std::optional<absl::Status> lost;
  loader_.Load(Oil(3), Into(lost));
  loader_.RemoveWorker(1);
  loader_.RemoveWorker(1);
  EXPECT_TRUE(absl::IsUnavailable(*lost));
  EXPECT_EQ(loader_.LoadedWorkers(Oil(1)), 0U);
}

TEST_F(ModelLoaderTest, AWorkerIsWelcomedWithWhatIsKeptAndWhatIsBeingLoaded) {
  registry_.Add(Oil(1), /*kept=*/true);
  registry_.Add(Oil(2), /*kept=*/false);
  registry_.Add(Oil(3), /*kept=*/true);
  auto one = Connect(1);
  EXPECT_THAT(one->sent(), ElementsAre("welcome 1,3"));
  std::optional<absl::Status> answer;
  const auto order = loader_.Load(Oil(2), Into(answer));
  std::optional<absl::Status> unload;
  loader_.Unload(Oil(4), Into(unload));
  auto two = Connect(2);
  EXPECT_THAT(two->sent(), ElementsAre("welcome 2,1,3"));
  EXPECT_THAT(two->orders(), ElementsAre(order, 0U, 0U)) << "nobody waits for what is only kept";
  Ready(1, Oil(2), order);
  Ready(2, Oil(2));
  EXPECT_FALSE(answer.has_value()) << "the worker that came meanwhile counts too";
  Ready(2, Oil(2), order);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->ok());
  Unloaded(1, Oil(4));
  EXPECT_TRUE(unload->ok()) << "it never had that";
}

TEST_F(ModelLoaderTest, WhatIsKeptAndBeingLoadedIsPreloadedOnceForEachOrder) {
  registry_.Add(Oil(1), /*kept=*/true);
  Connect(1);
  std::optional<absl::Status> first;
  std::optional<absl::Status> second;
  Ready(1, Oil(1), loader_.Load(Oil(1), Into(first)));
  Ready(1, Oil(1), loader_.Load(Oil(1), Into(second)));
  auto late = Connect(2);
  EXPECT_THAT(late->orders(), ElementsAre(0U)) << "both are done";
  const auto third_order = loader_.Load(Oil(1), [](const absl::Status&) {});
  const auto fourth_order = loader_.Load(WarmFor(Oil(1), {64}), [](const absl::Status&) {});
  EXPECT_THAT(Connect(3)->orders(), ElementsAre(third_order, fourth_order));
}

TEST_F(ModelLoaderTest, WhatIsForgottenIsNotAnswered) {
  Connect(1);
  bool called = false;
  const ModelLoads::Ticket ticket =
      loader_.Load(Oil(1), [&](const absl::Status&) { called = true; });
  loader_.Forget(ticket);
  loader_.Forget(ticket);
  Ready(1, Oil(1), ticket);
  EXPECT_FALSE(called);
  EXPECT_EQ(loader_.LoadedWorkers(Oil(1)), 1U);
}

TEST_F(ModelLoaderTest, AModelThatWasEvictedIsNoLongerCounted) {
  Connect(1);
  Ready(1, Oil(1));
  Unloaded(1, Oil(1));
  EXPECT_EQ(loader_.LoadedWorkers(Oil(1)), 0U);
  Failed(1, Oil(1));
  EXPECT_TRUE(Report(7, Oil(1), ModelReport::State::kReady).ok()) << "one that is gone";
}

TEST_F(ModelLoaderTest, VersionsWithEqualWeightsAreTwo) {
  ModelVersion twin = Oil(1);
  twin.version = 2;
  Connect(1, {Oil(1)});
  EXPECT_EQ(loader_.LoadedWorkers(twin), 0U);
  std::optional<absl::Status> answer;
  loader_.Unload(twin, Into(answer));
  Unloaded(1, twin);
  EXPECT_TRUE(answer->ok());
  EXPECT_EQ(loader_.LoadedWorkers(Oil(1)), 1U);
}

TEST_F(ModelLoaderTest, AWorkerThatClaimsTooMuchIsBroken) {
  Connect(1);
  for (std::uint32_t version = 1; version <= ModelLoader::kMaxModels; ++version) {
    ModelVersion model = Oil(1);
    model.version = version;
    Ready(1, model);
  }
  ModelVersion one_more = Oil(1);
  one_more.version = ModelLoader::kMaxModels + 1;
  EXPECT_TRUE(absl::IsFailedPrecondition(Report(1, one_more, ModelReport::State::kReady)));
}

TEST_F(ModelLoaderTest, AWorkerThatRepeatsItselfForEverIsBroken) {
  for (const auto state : {ModelReport::State::kReady, ModelReport::State::kUnloaded}) {
    Connect(1, {Oil(1)});
    const ModelVersion model = state == ModelReport::State::kReady ? Oil(1) : Oil(2);
    for (std::uint32_t i = 0; i < ModelLoader::kMaxRepeats; ++i) {
      ASSERT_TRUE(Report(1, model, state).ok());
    }
    EXPECT_TRUE(absl::IsFailedPrecondition(Report(1, model, state)));
    loader_.RemoveWorker(1);
  }
  // Requests for a damaged model may fail as often as they are made; news start the count anew.
  Connect(1);
  for (std::uint32_t i = 0; i < 2 * ModelLoader::kMaxRepeats; ++i) {
    Failed(1, Oil(1));
    Ready(1, Oil(2));
    Unloaded(1, Oil(2));
  }
}

TEST_F(ModelLoaderTest, WorkersComeAndGoWhileModelsAreLoaded) {
  registry_.Add(Oil(1), /*kept=*/true);
  std::atomic<int> answers = 0;
  constexpr int kRounds = 200;
  std::thread workers([&] {
    for (int i = 0; i < kRounds; ++i) {
      const WorkerId id = static_cast<WorkerId>(i) + 1;
      Connect(id);
      Ready(id, Oil(2));
      Unloaded(id, Oil(2));
      loader_.RemoveWorker(id);
    }
  });
  std::thread managers([&] {
    for (int i = 0; i < kRounds; ++i) {
      loader_.Load(Oil(2), [&](const absl::Status&) { ++answers; });
      loader_.Unload(Oil(2), [&](const absl::Status&) { ++answers; });
      loader_.LoadedWorkers(Oil(2));
    }
  });
  workers.join();
  managers.join();
  EXPECT_EQ(answers, 2 * kRounds) << "no worker is left, so nothing waits";
  EXPECT_EQ(loader_.Workers(), 0U);
  EXPECT_THAT(loader_.LoadedBy(1), IsEmpty());
}

}  // namespace
}  // namespace atelier::server
