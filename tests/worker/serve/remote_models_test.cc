// A serving worker that does not share the server's disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "common/files.h"
#include "tests/support/wait_until.h"
#include "tests/worker/files/fake_files.h"
#include "tests/worker/link/puppet_server.h"
#include "tests/worker/serve/fake_stylizer.h"
#include "worker/files/model_fetcher.h"
#include "worker/serve/fetched_models.h"
#include "worker/serve/serve_role.h"

namespace atelier::worker {
namespace {

namespace fs = std::filesystem;
using internal::v1::ModelState;
using internal::v1::ServerMessage;
using internal::v1::WorkerMessage;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class RemoteModelsTest : public ::testing::Test {
 protected:
  RemoteModelsTest() {
    files_.Put("model/m/1", "weights.safetensors", "weights");
    ModelCache::Options models = models_.CacheOptions(/*bytes=*/10, /*budget=*/1000);
    models.load = FetchingFirst(fetcher_, [this, load = models.load](const auto& options) {
      seen_ = ReadFile(options.directory / "weights.safetensors", 1000).value_or("(none)");
      directory_seen_ = options.directory;
      infer::ModelOptions known = options;
      known.directory = "/m/1";  // the fake's
      return load(known);
    });
    pipeline_ = std::make_unique<Pipeline>(Pipeline::Options(), std::move(models), SystemClock());
    ServeRole::Options options;
    options.address = server_.address();
    options.name = "serve-far";
    options.models = &fetcher_;
    options.backoff_min = absl::Milliseconds(5);
    options.backoff_max = absl::Milliseconds(50);
    role_ = std::make_unique<ServeRole>(options, *pipeline_);
    thread_ = std::thread([this] { role_->Run(); });
    EXPECT_TRUE(server_.Await(WorkerMessage::kCredit).has_value());
  }
  ~RemoteModelsTest() override {
    files_.HoldReads(false);
    role_->Shutdown();
    thread_.join();
  }

  void Load(const std::string& directory) {
    ServerMessage message;
    internal::v1::LoadModel* load = message.mutable_load_model();
    load->mutable_model()->set_name("m");
    load->mutable_model()->set_version(1);
    load->mutable_model()->set_directory(directory);
    load->set_order(5);
    server_.Send(message);
  }

  ModelState AwaitState() {
    const auto received = server_.Await(WorkerMessage::kModelState);
    EXPECT_TRUE(received.has_value());
    return received.has_value() ? received->message.model_state() : ModelState();
  }

  test::TempDir directory_;
  test::FakeFiles files_;
  test::PuppetServer server_{{.beside = &files_}};
  test::FakeModels models_;
  std::unique_ptr<BlobCache> cache_ =
      BlobCache::Open({.directory = directory_ / "cache", .max_bytes = 1000}).value();
  ModelFetcher fetcher_{*cache_, {.backoff_min = absl::Milliseconds(1)}};
  std::string seen_;
  fs::path directory_seen_;
  std::unique_ptr<Pipeline> pipeline_;
  std::unique_ptr<ServeRole> role_;
  std::thread thread_;
};

TEST_F(RemoteModelsTest, AModelIsFetchedForItsLoad) {
  const auto hello = server_.Await(WorkerMessage::kHello);
  ASSERT_TRUE(hello.has_value());
  EXPECT_TRUE(hello->message.hello().fetches_files());
  Load("model/m/1");
  EXPECT_EQ(AwaitState().state(), ModelState::STATE_READY);
  EXPECT_EQ(seen_, "weights");
  EXPECT_FALSE(fs::exists(directory_seen_));
}

TEST_F(RemoteModelsTest, AModelThatCannotBeFetchedIsUnavailableHere) {
  Load("model/other/1");
  const ModelState state = AwaitState();
  EXPECT_EQ(state.state(), ModelState::STATE_FAILED);
  EXPECT_EQ(state.code(), static_cast<std::uint32_t>(absl::StatusCode::kUnavailable));
  EXPECT_THAT(models_.loads(), IsEmpty());
}

TEST_F(RemoteModelsTest, TheNextSessionFetchesUnderItsOwnNumber) {
  server_.Break(/*bulk=*/false);
  ASSERT_TRUE(server_.Await(WorkerMessage::kCredit).has_value());
  Load("model/m/1");
  EXPECT_EQ(AwaitState().state(), ModelState::STATE_READY);
  ASSERT_EQ(files_.reads().size(), 1);
  EXPECT_EQ(files_.reads()[0].session, 2);
  EXPECT_THAT(models_.loads(), ElementsAre("/m/1"));
}

}  // namespace
}  // namespace atelier::worker
