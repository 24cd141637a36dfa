// What a serving worker does with models that its server wants or drops, and what it tells of them;
// work besides restyling, and batches, as the server sees them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/wait_until.h"
#include "tests/worker/serve/serve_role_fixture.h"

namespace atelier::worker {
namespace {

using internal::v1::ModelState;
using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;
using test::kSlots;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

internal::v1::LoadModel LoadOf(const std::string& directory,
                               const std::vector<std::uint32_t>& sizes = {},
                               std::uint64_t order = 0) {
  internal::v1::LoadModel load;
  load.mutable_model()->set_name("m");
  load.mutable_model()->set_version(1);
  load.mutable_model()->set_directory(directory);
  load.mutable_model()->set_weights_sha256("sha of " + directory);
  load.mutable_warmup_sizes()->Assign(sizes.begin(), sizes.end());
  load.set_order(order);
  return load;
}

ServerMessage UnloadOf(const std::string& directory) {
  ServerMessage message;
  *message.mutable_unload_model()->mutable_model() = LoadOf(directory).model();
  return message;
}

class ServeModelsTest : public test::ServeRoleTest {
 protected:
  using ServeRoleTest::ServeRoleTest;

  void Load(const std::string& directory, const std::vector<std::uint32_t>& sizes = {},
            std::uint64_t order = 0) {
    ServerMessage message;
    *message.mutable_load_model() = LoadOf(directory, sizes, order);
    server_.Send(message);
  }

  void Unload(const std::string& directory) { server_.Send(UnloadOf(directory)); }

  ServerMessage TaskFor(std::uint64_t id, const std::string& directory) {
    ServerMessage message = Task(id);
    *message.mutable_stylize_task()->mutable_model() = LoadOf(directory).model();
    return message;
  }

  // The next thing that is told of this model.
  ModelState AwaitState(const std::string& directory) {
    const auto received = server_.AwaitIf([&](const WorkerMessage& message) {
      return message.has_model_state() &&
             message.model_state().model().weights_sha256() == "sha of " + directory;
    });
    EXPECT_TRUE(received.has_value()) << directory;
    return received.has_value() ? received->message.model_state() : ModelState();
  }
};

TEST_F(ServeModelsTest, ALoadIsAnsweredReadyOnceTheModelIsWarm) {
  Load("/m/1", {64, 128});
  const ModelState state = AwaitState("/m/1");
  EXPECT_EQ(state.state(), ModelState::STATE_READY);
  EXPECT_EQ(state.bytes(), 1000);
  EXPECT_EQ(state.model().name(), "m");
  EXPECT_EQ(state.model().version(), 1);
  EXPECT_EQ(state.model().directory(), "");
  EXPECT_THAT(models_.warmed(), ElementsAre(64, 128));
}

TEST_F(ServeModelsTest, ASecondLoadWarmsWhatIsColdAndIsAnsweredToo) {
  Load("/m/1", {64});
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_READY);
  Load("/m/1", {64, 128});
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_READY);
  EXPECT_THAT(models_.loads(), ElementsAre("/m/1"));
  EXPECT_THAT(models_.warmed(), ElementsAre(64, 128));
}

TEST_F(ServeModelsTest, ALoadIsNotAnsweredByWhatATaskBroughtButOnceItIsWarmToo) {
  models_.HoldLoads(true);
  server_.Send(TaskFor(1, "/m/1"));
  ASSERT_TRUE(test::WaitUntil([&] { return models_.loading() == 1; }));
  Load("/m/1", {64}, /*order=*/7);
  models_.HoldLoads(false);
  ModelState state = AwaitState("/m/1");
  EXPECT_EQ(state.state(), ModelState::STATE_READY);
  EXPECT_EQ(state.order(), 0) << "the task's";
  state = AwaitState("/m/1");
  EXPECT_EQ(state.state(), ModelState::STATE_READY);
  EXPECT_EQ(state.order(), 7);
  EXPECT_THAT(models_.warmed(), ElementsAre(64));
  EXPECT_THAT(models_.loads(), ElementsAre("/m/1"));
}

TEST_F(ServeModelsTest, ALoadThatFailsIsToldWithoutPaths) {
  models_.FailLoads("/m/1", absl::DataLossError("/m/1/weights.safetensors"));
  Load("/m/1", {}, /*order=*/5);
  const ModelState state = AwaitState("/m/1");
  EXPECT_EQ(state.order(), 5);
  EXPECT_EQ(state.state(), ModelState::STATE_FAILED);
  EXPECT_EQ(state.code(), 15);
  EXPECT_THAT(state.message(), HasSubstr("m@1"));
  EXPECT_THAT(state.message(), Not(HasSubstr("/m/1")));
}

TEST_F(ServeModelsTest, AWarmUpThatFailsLeavesNothingBehind) {
  models_.FailWarmUps(absl::ResourceExhaustedError("out of memory"));
  Load("/m/1", {4096});
  const ModelState state = AwaitState("/m/1");
  EXPECT_EQ(state.state(), ModelState::STATE_FAILED);
  EXPECT_EQ(state.code(), 8);
  EXPECT_EQ(pipeline_->figures().models, 0);
}

TEST_F(ServeModelsTest, AnUnloadIsAnsweredAlsoWhenTheModelIsNotThere) {
  Unload("/m/1");
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_UNLOADED);
  Load("/m/1");
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_READY);
  Unload("/m/1");
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_UNLOADED);
  EXPECT_EQ(pipeline_->figures().models, 0);
}

TEST_F(ServeModelsTest, AModelInUseIsUnloadedUnderItsTaskWhichEndsWell) {
  models_.HoldCompute(true);
  server_.Send(TaskFor(1, "/m/1"));
  ASSERT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_READY);
  Unload("/m/1");
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_UNLOADED);
  models_.HoldCompute(false);
  EXPECT_EQ(AwaitResult().code(), 0);
}

TEST_F(ServeModelsTest, WhatATaskLoadsAndWhatGoesForItIsTold) {
  role_->Shutdown();
  EXPECT_EQ(Join(), 0);
  pipeline_ = models_.MakePipeline(SystemClock(), /*budget=*/2500);
  Start();
  EXPECT_EQ(AwaitCredit(), kSlots);
  Load("/kept");
  EXPECT_EQ(AwaitState("/kept").state(), ModelState::STATE_READY);
  for (const std::uint64_t id : {1, 2}) {
    const std::string directory = "/m/" + std::to_string(id);
    server_.Send(TaskFor(id, directory));
    EXPECT_EQ(AwaitResult().code(), 0);
    EXPECT_EQ(AwaitState(directory).state(), ModelState::STATE_READY);
  }
  // The kept model was used longest ago, and stays.
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_UNLOADED);
  EXPECT_EQ(pipeline_->figures().models, 2);
}

TEST_F(ServeModelsTest, ATaskWhoseModelFailsIsNotToldAsAModelsState) {
  models_.FailLoads("/m/1", absl::DataLossError("checksum"));
  server_.Send(TaskFor(1, "/m/1"));
  const auto result = AwaitResult();
  EXPECT_EQ(result.code(), 15);
  EXPECT_TRUE(result.model_failed());
  Unload("/m/1");
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_UNLOADED);
}

TEST_F(ServeModelsTest, ALoadDoesNotStopServing) {
  server_.Send(TaskFor(1, "/m/1"));
  EXPECT_EQ(AwaitResult().code(), 0);
  models_.HoldLoads(true);
  Load("/m/2");
  ASSERT_TRUE(test::WaitUntil([&] { return models_.loading() == 1; }));
  server_.Send(TaskFor(2, "/m/1"));
  EXPECT_EQ(AwaitResult().task_id(), 2);
  models_.HoldLoads(false);
  EXPECT_EQ(AwaitState("/m/2").state(), ModelState::STATE_READY);
}

TEST_F(ServeModelsTest, AWorkerThatComesBackTellsWhatItHas) {
  Load("/m/1");
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_READY);
  server_.Break(/*bulk=*/false);
  const auto hello = server_.AwaitIf([](const WorkerMessage& message) {
    return message.has_hello() && message.hello().loaded_size() == 1;
  });
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->message.hello().loaded(0).weights_sha256(), "sha of /m/1");
  EXPECT_EQ(AwaitState("/m/1").state(), ModelState::STATE_READY);
}

TEST_F(ServeModelsTest, AModelComputedInBatchesGetsTheCreditThatFillsThem) {
  ServerMessage task = TaskFor(1, "/m/1");
  task.mutable_stylize_task()->mutable_model()->set_batch_max_size(8);
  server_.Send(task);
  EXPECT_EQ(AwaitResult().batch_size(), 1);
  EXPECT_EQ(AwaitCredit() + AwaitCredit(), (8 + 2 - kSlots) + 1);
  // Only once.
  task.mutable_stylize_task()->set_task_id(2);
  server_.Send(task);
  EXPECT_EQ(AwaitResult().task_id(), 2);
  EXPECT_EQ(AwaitCredit(), 1);
}

TEST_F(ServeModelsTest, IdentityComesBackAsItWentAndGivesItsCreditBack) {
  ServerMessage message;
  message.mutable_identity_task()->set_task_id(7);
  message.mutable_identity_task()->set_payload(std::string("a\0b", 3));
  message.mutable_identity_task()->set_deadline_ms(60'000);
  server_.Send(message);
  auto received = server_.Await(WorkerMessage::kIdentityResult);
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->message.identity_result().task_id(), 7);
  EXPECT_EQ(received->message.identity_result().code(), 0);
  EXPECT_EQ(received->message.identity_result().payload(), std::string("a\0b", 3));
  EXPECT_EQ(AwaitCredit(), 1);

  message.mutable_identity_task()->set_deadline_ms(0);
  server_.Send(message);
  received = server_.Await(WorkerMessage::kIdentityResult);
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->message.identity_result().code(), 4);
  EXPECT_EQ(received->message.identity_result().payload(), "");
}

TEST_F(ServeModelsTest, PixelsComeBackInTheirOwnLayout) {
  ServerMessage message = Task(1);
  internal::v1::StylizeTask& task = *message.mutable_stylize_task();
  task.set_layout(internal::v1::PIXEL_LAYOUT_UINT8_HWC);
  task.set_width(32);
  task.set_height(16);
  task.set_image(std::string(32 * 16 * 3, '\0'));
  task.set_quality(0);
  server_.Send(message);
  const internal::v1::StylizeResult result = AwaitResult();
  EXPECT_EQ(result.code(), 0) << result.message();
  EXPECT_EQ(result.layout(), internal::v1::PIXEL_LAYOUT_UINT8_HWC);
  EXPECT_EQ(result.format(), v1::IMAGE_FORMAT_UNSPECIFIED);
  EXPECT_EQ(result.width(), 32);
  EXPECT_EQ(result.height(), 16);
  EXPECT_EQ(result.image(), std::string(32 * 16 * 3, '\xff'));
}

TEST_F(ServeModelsTest, ACancelledTaskThatWaitsFreesItsSlotAtOnce) {
  models_.HoldCompute(true);
  server_.Send(Task(1));
  ASSERT_TRUE(test::WaitUntil([&] { return models_.computing() == 1; }));
  server_.Send(Task(2));
  ServerMessage cancel;
  cancel.mutable_cancel_task()->set_task_id(2);
  server_.Send(cancel);
  const internal::v1::StylizeResult result = AwaitResult();
  EXPECT_EQ(result.task_id(), 2);
  EXPECT_EQ(result.code(), 1);
  EXPECT_EQ(AwaitCredit(), 1);
}

// A server that wants two models in memory, one of which cannot be loaded.
class PreloadTest : public ServeModelsTest {
 protected:
  PreloadTest()
      : ServeModelsTest(
            {.preload = {LoadOf("/m/1", {64}, 3), LoadOf("/broken", {}, 4), LoadOf("/m/2")}}) {}

  void SetUp() override {
    models_.FailLoads("/broken", absl::DataLossError("checksum"));
    models_.HoldLoads(true);
    Start();
    ASSERT_TRUE(test::WaitUntil([&] { return models_.loading() == 1; }));
  }
};

TEST_F(PreloadTest, CreditComesAfterThePreloadsAreWarmAndAFailureDoesNotStopIt) {
  EXPECT_EQ(server_.Kept(WorkerMessage::kCredit), 0);
  models_.HoldLoads(false);
  EXPECT_EQ(AwaitCredit(), kSlots);
  // The stream keeps the order, so these came before the credit.
  EXPECT_EQ(server_.Kept(WorkerMessage::kModelState), 3);
  const ModelState first = AwaitState("/m/1");
  EXPECT_EQ(first.state(), ModelState::STATE_READY);
  EXPECT_EQ(first.order(), 3);
  const ModelState broken = AwaitState("/broken");
  EXPECT_EQ(broken.state(), ModelState::STATE_FAILED);
  EXPECT_EQ(broken.order(), 4);
  const ModelState second = AwaitState("/m/2");
  EXPECT_EQ(second.state(), ModelState::STATE_READY);
  EXPECT_EQ(second.order(), 0);
  EXPECT_THAT(models_.warmed(), ElementsAre(64));
  server_.Send(TaskFor(1, "/m/1"));
  EXPECT_EQ(AwaitResult().code(), 0);
}

TEST_F(PreloadTest, AWorkerThatPreloadsCanBeStopped) {
  role_->Shutdown();
  EXPECT_EQ(Join(), 0);
  EXPECT_EQ(server_.Kept(WorkerMessage::kCredit), 0);
}

TEST_F(PreloadTest, AWorkerThatPreloadsComesBackAfterABreak) {
  server_.Break(/*bulk=*/false);
  ASSERT_TRUE(server_.Await(WorkerMessage::kHello).has_value());
  ASSERT_TRUE(server_.Await(WorkerMessage::kHello).has_value());
  models_.HoldLoads(false);
  EXPECT_EQ(AwaitCredit(), kSlots);
}

// A server that changes its mind at once.
class ChangedMindTest : public ServeModelsTest {
 protected:
  ChangedMindTest()
      : ServeModelsTest({.preload = {LoadOf("/m/1", {}, 3)}, .at_once = {UnloadOf("/m/1")}}) {}

  void SetUp() override { Start(); }
};

TEST_F(ChangedMindTest, AnOrderRightAfterTheWelcomeCountsAfterTheWelcomesOwn) {
  EXPECT_EQ(AwaitCredit(), kSlots);
  ModelState state = AwaitState("/m/1");
  while (state.state() == ModelState::STATE_READY || state.state() == ModelState::STATE_FAILED) {
    state = AwaitState("/m/1");
  }
  EXPECT_EQ(state.state(), ModelState::STATE_UNLOADED);
  EXPECT_EQ(server_.Kept(WorkerMessage::kModelState), 0) << "it was loaded after all";
}

}  // namespace
}  // namespace atelier::worker
