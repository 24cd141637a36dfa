// What ModelService does to models, over real calls, with workers that do what the test says.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "server/models/model_manager.h"
#include "server/rpc/model_service.h"
#include "tests/server/support/model_fakes.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait_until.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using testing::CatalogRoom;
using ::testing::ElementsAre;
using testing::FakeLoads;

class ModelServiceTest : public ::testing::Test {
 protected:
  ModelServiceTest()
      : transfer_(*ModelTransfer::Create(
            {.models = &room_.catalog(), .directory = folder_ / "transfers"})),
        service_(room_.catalog(), loads_, manager_, TransferRoom{*transfer_, threads_, probe_},
                 readers_) {
    room_.Publish("oil", "one");
    room_.Publish("oil", "two");
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    stub_ = v1::ModelService::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(), arguments));
  }
  ~ModelServiceTest() override {
    manager_.Stop();
    server_->Shutdown();
  }

  template <typename Response, typename Method, typename Request>
  absl::StatusOr<Response> Call(Method method, const Request& request,
                                absl::Duration deadline = absl::Seconds(20)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    Response response;
    const absl::Status status = FromGrpcStatus(((*stub_).*method)(&context, request, &response));
    return status.ok() ? absl::StatusOr<Response>(response) : status;
  }
  absl::StatusOr<v1::LoadModelResponse> Load(const std::string& model,
                                             absl::Duration deadline = absl::Seconds(20)) {
    v1::LoadModelRequest request;
    request.set_model(model);
    request.add_warmup_sizes(64);
    return Call<v1::LoadModelResponse>(&v1::ModelService::Stub::Load, request, deadline);
  }
  absl::StatusOr<v1::PromoteModelResponse> Promote(const std::string& model) {
    v1::PromoteModelRequest request;
    request.set_model(model);
    return Call<v1::PromoteModelResponse>(&v1::ModelService::Stub::Promote, request);
  }
  absl::StatusOr<v1::SetModelLabelResponse> SetLabel(const v1::SetModelLabelRequest& request) {
    return Call<v1::SetModelLabelResponse>(&v1::ModelService::Stub::SetLabel, request);
  }
  absl::Status Delete(const std::string& model) {
    v1::DeleteModelRequest request;
    request.set_model(model);
    return Call<v1::DeleteModelResponse>(&v1::ModelService::Stub::Delete, request).status();
  }
  v1::Model Get(const std::string& model) {
    v1::GetModelRequest request;
    request.set_model(model);
    return Call<v1::Model>(&v1::ModelService::Stub::GetModel, request).value_or(v1::Model());
  }

  CatalogRoom room_;
  FakeLoads loads_;
  test::TempDir folder_;
  std::unique_ptr<ModelTransfer> transfer_;
  TransferThreads threads_{1, SystemClock()};
  TransferThreads readers_{1, SystemClock(), "models are read", 8};
  prometheus::Registry metrics_;
  TransferProbe probe_{metrics_};
  ModelManager manager_{{.catalog = &room_.catalog(),
                         .loads = &loads_,
                         .in_use = [](const std::string&) { return false; }}};
  ModelService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::ModelService::Stub> stub_;
};

TEST_F(ModelServiceTest, LoadAndUnloadTellWhereTheModelIs) {
  EXPECT_EQ(Get("oil").loaded_workers(), 0U);
  EXPECT_EQ(Get("oil").traffic(), 1.0);
  const auto loaded = Load("oil@1");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->model().version(), 1U);
  EXPECT_EQ(loaded->model().loaded_workers(), 1U);
  EXPECT_TRUE(loaded->model().kept());
  EXPECT_THAT(loads_.last_sizes(), ElementsAre(64U));
  EXPECT_EQ(Get("oil@1").loaded_workers(), 1U);
  v1::UnloadModelRequest request;
  request.set_model("oil@1");
  const auto unloaded = Call<v1::UnloadModelResponse>(&v1::ModelService::Stub::Unload, request);
  ASSERT_TRUE(unloaded.ok()) << unloaded.status();
  EXPECT_EQ(unloaded->model().loaded_workers(), 0U);
  EXPECT_FALSE(unloaded->model().kept());
}

TEST_F(ModelServiceTest, ErrorsReachTheCallerWithTheirField) {
  EXPECT_TRUE(absl::IsNotFound(Load("ink").status()));
  EXPECT_EQ(FieldOf(Promote("oil").status()), "model");
  EXPECT_EQ(FieldOf(Delete("oil")), "model");
  EXPECT_TRUE(absl::IsNotFound(Delete("oil@9")));
  loads_.Fail(absl::UnavailableError("no worker"));
  EXPECT_TRUE(absl::IsUnavailable(Promote("oil@1").status()));
  EXPECT_EQ(Get("oil").version(), 2U);
}

TEST_F(ModelServiceTest, WhatIsReadFromTheDiskHasThreadsOfItsOwn) {
  absl::Notification disk_is_free;
  for (int i = 0; i < 9; ++i) {  // one at a time, eight wait
    ASSERT_TRUE(readers_.Run([&] { disk_is_free.WaitForNotification(); }).ok());
  }
  v1::GetModelRequest request;
  request.set_model("oil");
  const absl::Status busy = Call<v1::Model>(&v1::ModelService::Stub::GetModel, request).status();
  EXPECT_TRUE(absl::IsResourceExhausted(busy)) << busy;
  EXPECT_TRUE(RetryDelayOf(busy).has_value());
  const auto list =
      Call<v1::ListModelsResponse>(&v1::ModelService::Stub::ListModels, v1::ListModelsRequest());
  EXPECT_TRUE(list.ok()) << list.status();
  disk_is_free.Notify();
  EXPECT_TRUE(WaitUntil([&] { return Get("oil").card() == "# card"; }));
}

TEST_F(ModelServiceTest, PromoteTellsTheWayBack) {
  ASSERT_TRUE(Promote("oil@1").ok());
  const auto promoted = Promote("oil@2");
  ASSERT_TRUE(promoted.ok()) << promoted.status();
  EXPECT_EQ(promoted->previous_version(), 1U);
  EXPECT_THAT(promoted->model().labels(), ElementsAre("stable"));
  EXPECT_THAT(Get("oil@1").labels(), ElementsAre("previous"));
  EXPECT_EQ(Promote("oil@previous")->model().version(), 1U);
}

TEST_F(ModelServiceTest, LabelsAreSetAndTakenAway) {
  v1::SetModelLabelRequest request;
  request.set_model("oil@1");
  request.set_label("canary");
  request.set_traffic(0.25);
  EXPECT_EQ(SetLabel(request)->model().traffic(), 0.25);
  EXPECT_EQ(Get("oil").traffic(), 0.75);
  request.set_label("stable");
  EXPECT_TRUE(absl::IsFailedPrecondition(SetLabel(request).status()));
  request.set_traffic(2);
  EXPECT_EQ(FieldOf(SetLabel(request).status()), "traffic");
  request.set_label("canary");
  request.clear_traffic();
  request.set_remove(true);
  EXPECT_EQ(SetLabel(request)->model().labels_size(), 0);
  EXPECT_EQ(Get("oil").traffic(), 1.0);
}

TEST_F(ModelServiceTest, ADeletedVersionIsNotFound) {
  ASSERT_TRUE(Delete("oil@1").ok());
  EXPECT_EQ(Get("oil@1").version(), 0U);
  EXPECT_EQ(Get("oil").version(), 2U);
}

TEST_F(ModelServiceTest, ACallEndsAtItsDeadlineAndTheServerGoesOn) {
  loads_.Hold();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Load("oil@1", absl::Milliseconds(200)).status()));
  EXPECT_TRUE(WaitUntil([this] { return loads_.waiting() == 0; })) << "forgotten";
  EXPECT_EQ(Get("oil").version(), 2U);
}

TEST_F(ModelServiceTest, CallsUnderWayAreAnsweredWhenTheServerStops) {
  loads_.Hold();
  absl::Status status;
  std::thread call([&] { status = Load("oil@1").status(); });
  EXPECT_TRUE(WaitUntil([this] { return loads_.waiting() == 1; }));
  manager_.Stop();
  call.join();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

}  // namespace
}  // namespace atelier::server
