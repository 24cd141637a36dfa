// What a worker and the server tell each other of models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/errors.h"
#include "prometheus/registry.h"
#include "server/dispatch/link/model_codec.h"
#include "server/dispatch/link/session_table.h"
#include "server/dispatch/link/worker_session.h"
#include "tests/server/dispatch/link_fakes.h"
#include "tests/server/dispatch/session_harness.h"
#include "tests/server/support/stylize_fakes.h"
#include "tests/support/fake_clock.h"

namespace atelier::server {
namespace {

using internal::v1::ModelState;
using internal::v1::WorkerMessage;
using ::testing::ElementsAre;
using testing::FakeTransport;
using testing::SampleModel;
using testing::ServeHello;
using testing::TrainHello;
using Stream = WorkerSession::Stream;

constexpr char kWeights[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

WorkerMessage StateOf(std::uint32_t version, ModelState::State state, std::uint32_t code = 0,
                      const std::string& sentence = "", std::uint64_t order = 0) {
  WorkerMessage message;
  ModelState& told = *message.mutable_model_state();
  told.mutable_model()->set_name("oil");
  told.mutable_model()->set_version(version);
  told.mutable_model()->set_weights_sha256(kWeights);
  told.set_state(state);
  told.set_code(code);
  told.set_message(sentence);
  told.set_order(order);
  return message;
}

class ModelSessionTest : public testing::SessionTest {
 protected:
  ModelSessionTest() {
    models_.model = Oil(3);
    models_.model.kept = true;
    models_.model.warmup_sizes = {64, 512};
  }

  static ModelVersion Oil(std::uint32_t version) {
    ModelVersion model = SampleModel();
    model.name = "oil";
    model.version = version;
    model.weights_sha256 = kWeights;
    model.directory = "/models/oil/" + std::to_string(version);
    model.batch_max_size = 8;
    model.batch_max_delay = absl::Milliseconds(3);
    return model;
  }
};

TEST_F(ModelSessionTest, AWorkerIsWelcomedWithWhatIsKept) {
  Connect();
  const internal::v1::Welcome welcome = control_->sent().front().welcome();
  ASSERT_EQ(welcome.preload_size(), 1);
  const internal::v1::LoadModel& load = welcome.preload(0);
  EXPECT_EQ(load.model().name(), "oil");
  EXPECT_EQ(load.model().version(), 3U);
  EXPECT_EQ(load.model().directory(), "/models/oil/3");
  EXPECT_EQ(load.model().weights_sha256(), kWeights);
  EXPECT_EQ(load.model().batch_max_size(), 8U);
  EXPECT_EQ(load.model().batch_max_delay_us(), 3000U);
  EXPECT_THAT(load.warmup_sizes(), ElementsAre(64U, 512U));
}

TEST_F(ModelSessionTest, ATrainerIsWelcomedWithNothing) {
  Connect(TrainHello("j", 1));
  EXPECT_EQ(control_->sent().front().welcome().preload_size(), 0);
  EXPECT_EQ(loader_.Workers(), 0U);
}

TEST_F(ModelSessionTest, LoadsAndUnloadsReachTheWorkerAndItsAnswersTheLoader) {
  auto session = Serving();
  std::optional<absl::Status> loaded;
  const auto order = loader_.Load(Oil(4), [&](absl::Status status) { loaded = std::move(status); });
  const internal::v1::LoadModel load = control_->sent().back().load_model();
  EXPECT_EQ(load.model().version(), 4U);
  EXPECT_EQ(load.order(), order);
  EXPECT_THAT(load.warmup_sizes(), ElementsAre(256U)) << "the default";
  session->OnMessage(Stream::kControl, StateOf(4, ModelState::STATE_READY));
  EXPECT_FALSE(loaded.has_value()) << "it came for a task";
  session->OnMessage(Stream::kControl, StateOf(4, ModelState::STATE_READY, 0, "", load.order()));
  ASSERT_TRUE(loaded.has_value());
  EXPECT_TRUE(loaded->ok());
  EXPECT_EQ(loader_.LoadedWorkers(Oil(4)), 1U);

  std::optional<absl::Status> unloaded;
  loader_.Unload(Oil(4), [&](absl::Status status) { unloaded = std::move(status); });
  EXPECT_EQ(control_->sent().back().unload_model().model().version(), 4U);
  session->OnMessage(Stream::kControl, StateOf(4, ModelState::STATE_UNLOADED));
  EXPECT_TRUE(unloaded->ok());
  EXPECT_EQ(loader_.LoadedWorkers(Oil(4)), 0U);
  EXPECT_FALSE(session->closed());
}

TEST_F(ModelSessionTest, AClosedSessionDoesNotSayThatItHasSentATask) {
  const auto session = Serving();
  std::atomic<bool> sent = false;
  session->SendTask(7, testing::SampleWork(), clock_.Now() + absl::Minutes(1), sent);
  EXPECT_TRUE(sent);
  session->Close(absl::UnavailableError("it broke"));
  std::atomic<bool> late = false;
  session->SendTask(8, testing::SampleWork(), clock_.Now() + absl::Minutes(1), late);
  EXPECT_FALSE(late);
}

TEST_F(ModelSessionTest, AFailureCarriesTheWorkersCodeAndABoundedSentence) {
  auto session = Serving();
  std::optional<absl::Status> loaded;
  const auto order = loader_.Load(Oil(4), [&](absl::Status status) { loaded = std::move(status); });
  session->OnMessage(Stream::kControl,
                     StateOf(4, ModelState::STATE_FAILED, 8, std::string(10'000, 'x'), order));
  ASSERT_TRUE(loaded.has_value());
  EXPECT_TRUE(absl::IsResourceExhausted(*loaded));
  EXPECT_EQ(loaded->message().size(), 512U);
  EXPECT_TRUE(control_->sent().back().has_unload_model()) << "taken back";
}

TEST_F(ModelSessionTest, WhatAWorkerHadBeforeItDialledAgainCounts) {
  WorkerMessage hello = ServeHello();
  internal::v1::ModelSource& source = *hello.mutable_hello()->add_loaded();
  source.set_name("oil");
  source.set_version(3);
  source.set_weights_sha256(kWeights);
  auto session = Connect(hello);
  EXPECT_EQ(loader_.LoadedWorkers(Oil(3)), 1U);
  session->StreamBroken(Stream::kControl);
  EXPECT_EQ(loader_.LoadedWorkers(Oil(3)), 0U);
  EXPECT_EQ(loader_.Workers(), 0U);
}

TEST_F(ModelSessionTest, ImpossibleModelsInAHelloAreRefused) {
  const std::function<void(internal::v1::Hello&)> faults[] = {
      [](auto& hello) { hello.mutable_loaded(0)->set_name("../etc"); },
      [](auto& hello) { hello.mutable_loaded(0)->set_version(0); },
      [](auto& hello) { hello.mutable_loaded(0)->set_weights_sha256("abc"); },
      [](auto& hello) {
        for (std::size_t i = 0; i < ModelLoader::kMaxModels; ++i) {
          *hello.add_loaded() = hello.loaded(0);
        }
      },
  };
  for (const auto& spoil : faults) {
    control_ = std::make_shared<FakeTransport>();
    WorkerMessage hello = ServeHello();
    *hello.mutable_hello()->add_loaded() =
        StateOf(1, ModelState::STATE_READY).model_state().model();
    spoil(*hello.mutable_hello());
    EXPECT_TRUE(Connect(hello)->closed());
    EXPECT_TRUE(control_->closed_with(absl::StatusCode::kInvalidArgument));
    EXPECT_EQ(FieldOf(*control_->closed()), "loaded");
  }
  EXPECT_EQ(loader_.Workers(), 0U);
}

TEST_F(ModelSessionTest, ImpossibleStatesEndTheWorker) {
  const std::function<void(ModelState&)> faults[] = {
      [](auto& state) { state.mutable_model()->set_name("Not A Name"); },
      [](auto& state) { state.mutable_model()->set_version(0); },
      [](auto& state) { state.mutable_model()->set_weights_sha256(std::string(64, 'A')); },
      [](auto& state) { state.clear_model(); },
      [](auto& state) { state.set_state(ModelState::STATE_UNSPECIFIED); },
      [](auto& state) { state.set_state(static_cast<ModelState::State>(77)); },
      [](auto& state) { state.set_state(ModelState::STATE_FAILED); },  // without a code
      [](auto& state) {
        state.set_state(ModelState::STATE_FAILED);
        state.set_code(17);
      },
  };
  for (const auto& spoil : faults) {
    control_ = std::make_shared<FakeTransport>();
    bulk_ = std::make_shared<FakeTransport>();
    auto session = Serving();
    WorkerMessage message = StateOf(1, ModelState::STATE_READY);
    spoil(*message.mutable_model_state());
    session->OnMessage(Stream::kControl, message);
    EXPECT_TRUE(session->closed()) << message.DebugString();
    EXPECT_TRUE(control_->closed_with(absl::StatusCode::kFailedPrecondition));
  }
}

TEST_F(ModelSessionTest, AFloodOfStatesEndsTheWorker) {
  auto session = Serving();
  for (std::uint32_t version = 1; version <= ModelLoader::kMaxModels; ++version) {
    session->OnMessage(Stream::kControl, StateOf(version, ModelState::STATE_READY));
  }
  EXPECT_FALSE(session->closed());
  session->OnMessage(Stream::kControl, StateOf(100'000, ModelState::STATE_READY));
  EXPECT_TRUE(session->closed());

  control_ = std::make_shared<FakeTransport>();
  bulk_ = std::make_shared<FakeTransport>();
  session = Serving();
  for (std::uint32_t i = 0; i < ModelLoader::kMaxRepeats + 2; ++i) {
    session->OnMessage(Stream::kControl, StateOf(1, ModelState::STATE_READY));
  }
  EXPECT_TRUE(session->closed());
}

TEST_F(ModelSessionTest, ATrainerHasNoModelsToTellOf) {
  auto session = Connect(TrainHello("j", 1));
  session->OnMessage(Stream::kControl, StateOf(1, ModelState::STATE_READY));
  EXPECT_TRUE(session->closed());
}

TEST_F(ModelSessionTest, StatesBeforeTheBulkStreamCount) {
  auto session = Connect();
  session->OnMessage(Stream::kControl, StateOf(3, ModelState::STATE_READY));
  EXPECT_EQ(loader_.LoadedWorkers(Oil(3)), 1U);
  EXPECT_TRUE(session->AttachBulk(bulk_, {}));
  EXPECT_FALSE(session->closed());
}

}  // namespace
}  // namespace atelier::server
