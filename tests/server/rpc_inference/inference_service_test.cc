#include "server/rpc/inference_service.h"

#include <gmock/gmock.h>

#include "prometheus/text_serializer.h"
#include "tests/server/rpc_inference/inference_harness.h"

namespace atelier::server {
namespace {

using test::WaitUntil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::SampleOutcome;
using ::testing::UnorderedElementsAre;

class InferenceServiceTest : public InferenceHarness {
 protected:
  // Calls `method` of the stub with `request`.
  template <typename Method, typename Request, typename Response>
  absl::Status Call(Method method, const Request& request, Response& response) {
    grpc::ClientContext context;
    return FromGrpcStatus(((*stub_).*method)(&context, request, &response));
  }
  std::string Metrics() { return prometheus::TextSerializer().Serialize(metrics_.Collect()); }
};

using Stub = inference::GRPCInferenceService::Stub;

TEST_F(InferenceServiceTest, PicturesOfABatchAreAnsweredTogether) {
  auto request = Encoded(2);
  request.set_id("order-7");
  auto status = Infer(request);
  StylizeOutcome outcome = SampleOutcome("second");
  outcome.precision = Precision::kBf16;
  outcome.batch_size = 2;
  outcome.warnings = {"a warning"};
  Finish(1, outcome);
  outcome.image = "first";
  Finish(0, outcome);
  ASSERT_TRUE(status.get().ok());
  EXPECT_EQ(response_.model_name(), "oil");
  EXPECT_EQ(response_.model_version(), "3");
  EXPECT_EQ(response_.id(), "order-7");
  ASSERT_EQ(response_.outputs_size(), 1);
  EXPECT_EQ(response_.outputs(0).name(), "stylized");
  EXPECT_EQ(response_.outputs(0).datatype(), "BYTES");
  EXPECT_THAT(response_.outputs(0).shape(), ElementsAre(2, 1));
  EXPECT_FALSE(response_.outputs(0).has_contents());
  std::string wanted;
  AppendString("first", wanted);
  AppendString("second", wanted);
  EXPECT_THAT(response_.raw_output_contents(), ElementsAre(wanted));
  const auto& parameters = response_.parameters();
  EXPECT_EQ(parameters.at("atelier_request_id").string_param(), "order-7");
  EXPECT_EQ(parameters.at("atelier_precision").string_param(), "bf16");
  EXPECT_EQ(parameters.at("atelier_batch_size").int64_param(), 2);
  EXPECT_FALSE(parameters.at("atelier_cached").bool_param());
  EXPECT_EQ(parameters.at("atelier_warnings").string_param(), "a warning\na warning");
  EXPECT_THAT(Metrics(), HasSubstr("atelier_requests_total{code=\"OK\",method=\"ModelInfer\"} 1"));
}

TEST_F(InferenceServiceTest, PixelsComeBackAsTheyWent) {
  inference::ModelInferRequest request;
  request.set_model_name("oil");
  auto& input = *request.add_inputs();
  input.set_name("image");
  input.set_datatype("FP32");
  for (const std::int64_t dimension : {2, 3, 16, 20}) {
    input.add_shape(dimension);
  }
  request.add_raw_input_contents(std::string(2UL * 3 * 16 * 20 * 4, '\0'));
  auto status = Infer(request);
  for (const std::size_t place : {0U, 1U}) {
    StylizeOutcome outcome = SampleOutcome(std::string(3UL * 32 * 40 * 4, place == 0 ? 'a' : 'b'));
    outcome.layout = PixelLayout::kFp32Chw;
    outcome.height = 32;
    outcome.width = 40;
    Finish(place, outcome);
  }
  ASSERT_TRUE(status.get().ok());
  EXPECT_EQ(response_.outputs(0).datatype(), "FP32");
  EXPECT_THAT(response_.outputs(0).shape(), ElementsAre(2, 3, 32, 40));
  EXPECT_EQ(response_.raw_output_contents(0),
            std::string(3UL * 32 * 40 * 4, 'a') + std::string(3UL * 32 * 40 * 4, 'b'));
}

TEST_F(InferenceServiceTest, TheFirstErrorOfABatchIsTheAnswerAndCancelsTheOthers) {
  auto status = Infer(Encoded(3));
  port_->At(2);
  Finish(1, InvalidField("image", "is truncated"));
  const absl::Status error = status.get();
  EXPECT_EQ(FieldOf(error), "image");
  EXPECT_TRUE(WaitUntil([&] { return port_->cancelled() == 2; }));
}

TEST_F(InferenceServiceTest, ABatchThatCanNeverWaitIsRefusedForGood) {
  queue_.SetLimits({.max_waiting = 2});
  const absl::Status refused = InferNow(Encoded(3));
  EXPECT_TRUE(absl::IsOutOfRange(refused)) << refused;
  EXPECT_FALSE(RetryDelayOf(refused).has_value());
  EXPECT_EQ(port_->count(), 0U);
}

TEST_F(InferenceServiceTest, ACallerThatHangsUpCancelsEveryPicture) {
  auto status = Infer(Encoded(2));
  port_->At(1);
  context_->TryCancel();
  EXPECT_TRUE(absl::IsCancelled(status.get()));
  EXPECT_TRUE(WaitUntil([&] { return port_->cancelled() == 2; }));
  EXPECT_TRUE(queue_.AwaitEmpty(absl::Now() + absl::Seconds(10)));
}

TEST_F(InferenceServiceTest, TheTimeoutIsADeadline) {
  auto request = Encoded(1);
  (*request.mutable_parameters())["timeout"].set_int64_param(200'000);
  auto status = Infer(request);
  const absl::Time deadline = port_->At(0).deadline;
  EXPECT_LE(deadline, absl::Now() + absl::Milliseconds(200));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status.get()));
}

TEST_F(InferenceServiceTest, SeedsBecomePatterns) {
  inference::ModelInferRequest request;
  request.set_model_name("florals");
  auto& input = *request.add_inputs();
  input.set_name("seed");
  input.set_datatype("INT64");
  input.add_shape(2);
  input.add_shape(1);
  input.mutable_contents()->add_int64_contents(5);
  input.mutable_contents()->add_int64_contents(6);
  auto status = Infer(request);
  EXPECT_THAT(std::get<GenerateWork>(port_->At(0).work).seeds, ElementsAre(5U, 6U));
  Finish(0, testing::SampleGenerateOutcome(2));
  ASSERT_TRUE(status.get().ok());
  EXPECT_EQ(response_.outputs(0).name(), "pattern");
  EXPECT_THAT(response_.outputs(0).shape(), ElementsAre(2, 1));
  std::string wanted;
  AppendString("pattern 0", wanted);
  AppendString("pattern 1", wanted);
  EXPECT_EQ(response_.raw_output_contents(0), wanted);
}

TEST_F(InferenceServiceTest, IdentityReturnsItsBytes) {
  auto status = Infer(Identity("some bytes"));
  FinishIdentity(0);
  ASSERT_TRUE(status.get().ok());
  EXPECT_EQ(response_.outputs(0).name(), "OUTPUT0");
  EXPECT_EQ(response_.outputs(0).datatype(), "UINT8");
  EXPECT_THAT(response_.outputs(0).shape(), ElementsAre(1, 10));
  EXPECT_EQ(response_.raw_output_contents(0), "some bytes");
  EXPECT_EQ(response_.model_version(), "1");
}

TEST_F(InferenceServiceTest, RefusalsKeepTheirDetails) {
  queue_.SetLimits({.max_waiting = 1, .max_bytes = 1});
  dispatcher_.RemoveWorker(1);
  auto first = Infer(Encoded(1));
  EXPECT_TRUE(WaitUntil([&] { return queue_.waiting() == 1; }));
  inference::ModelInferResponse response;
  grpc::ClientContext context;
  const absl::Status refused = FromGrpcStatus(stub_->ModelInfer(&context, Encoded(1), &response));
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_GT(RetryDelayOf(refused), absl::ZeroDuration());
  queue_.FailAll(absl::UnavailableError("enough"));
  EXPECT_TRUE(absl::IsUnavailable(first.get()));
  auto bad = Encoded(1);
  bad.mutable_inputs(0)->set_datatype("TEXT");
  EXPECT_EQ(FieldOf(InferNow(bad)), "image");
  bad.set_model_name("nobody");
  EXPECT_TRUE(absl::IsNotFound(InferNow(bad)));
}

TEST_F(InferenceServiceTest, TheServerTellsAboutItself) {
  inference::ServerLiveResponse live;
  EXPECT_TRUE(Call(&Stub::ServerLive, inference::ServerLiveRequest(), live).ok());
  EXPECT_TRUE(live.live());
  inference::ServerReadyResponse ready;
  EXPECT_TRUE(Call(&Stub::ServerReady, inference::ServerReadyRequest(), ready).ok());
  EXPECT_TRUE(ready.ready());
  ready_ = false;
  EXPECT_TRUE(Call(&Stub::ServerReady, inference::ServerReadyRequest(), ready).ok());
  EXPECT_FALSE(ready.ready());
  inference::ServerMetadataResponse metadata;
  EXPECT_TRUE(Call(&Stub::ServerMetadata, inference::ServerMetadataRequest(), metadata).ok());
  EXPECT_EQ(metadata.name(), "atelier");
  EXPECT_THAT(metadata.extensions(), ::testing::Contains("statistics"));
  EXPECT_THAT(metadata.extensions(), ::testing::Not(::testing::Contains("system_shared_memory")));
}

TEST_F(InferenceServiceTest, ModelsAreReadyOrNotFound) {
  inference::ModelReadyRequest request;
  inference::ModelReadyResponse response;
  for (const char* name : {"oil", "florals", "identity"}) {
    request.set_name(name);
    EXPECT_TRUE(Call(&Stub::ModelReady, request, response).ok());
    EXPECT_TRUE(response.ready());
  }
  request.set_version("77");
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::ModelReady, request, response)));
  request.set_name("nobody");
  request.clear_version();
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::ModelReady, request, response)));
  inference::ModelMetadataRequest metadata;
  metadata.set_name("nobody");
  inference::ModelMetadataResponse described;
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::ModelMetadata, metadata, described)));
  inference::ModelConfigRequest config;
  config.set_name("nobody");
  inference::ModelConfigResponse configured;
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::ModelConfig, config, configured)));
}

TEST_F(InferenceServiceTest, TheQueueCountOfTheVersionThatServedGrows) {
  inference::ModelStatisticsRequest request;
  request.set_name("identity");
  inference::ModelStatisticsResponse before;
  ASSERT_TRUE(Call(&Stub::ModelStatistics, request, before).ok());
  ASSERT_EQ(before.model_stats_size(), 1);
  EXPECT_EQ(before.model_stats(0).inference_stats().queue().count(), 0U);
  auto status = Infer(Identity("bytes"));
  FinishIdentity(0);
  ASSERT_TRUE(status.get().ok());
  inference::ModelStatisticsResponse after;
  ASSERT_TRUE(Call(&Stub::ModelStatistics, request, after).ok());
  EXPECT_EQ(after.model_stats(0).version(), "1");
  EXPECT_EQ(after.model_stats(0).inference_stats().queue().count(), 1U);
  EXPECT_EQ(after.model_stats(0).inference_stats().success().count(), 1U);
  EXPECT_EQ(after.model_stats(0).execution_count(), 1U);
}

TEST_F(InferenceServiceTest, StatisticsOfAnUnknownModelAreInvalidAndOfAllAreThere) {
  inference::ModelStatisticsRequest request;
  inference::ModelStatisticsResponse response;
  ASSERT_TRUE(Call(&Stub::ModelStatistics, request, response).ok());
  std::vector<std::string> names;
  for (const auto& model : response.model_stats()) {
    names.push_back(model.name() + "@" + model.version());
  }
  EXPECT_THAT(names, UnorderedElementsAre("oil@3", "florals@3", "identity@1"));
  request.set_name("nobody");
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&Stub::ModelStatistics, request, response)));
  request.set_name("oil");
  request.set_version("4");
  EXPECT_TRUE(absl::IsInvalidArgument(Call(&Stub::ModelStatistics, request, response)));
}

TEST_F(InferenceServiceTest, TheIndexListsWhatCanBeServed) {
  inference::RepositoryIndexRequest request;
  request.set_ready(true);
  inference::RepositoryIndexResponse response;
  ASSERT_TRUE(Call(&Stub::RepositoryIndex, request, response).ok());
  ASSERT_EQ(response.models_size(), 3);
  EXPECT_EQ(response.models(0).name(), "oil");
  EXPECT_EQ(response.models(0).version(), "3");
  EXPECT_EQ(response.models(0).state(), "READY");
  request.set_repository_name("other");
  EXPECT_EQ(FieldOf(Call(&Stub::RepositoryIndex, request, response)), "repository_name");
}

TEST_F(InferenceServiceTest, LoadsAndUnloadsGoToTheModelsRoom) {
  inference::RepositoryModelLoadRequest load;
  inference::RepositoryModelLoadResponse loaded;
  load.set_model_name("oil");
  EXPECT_TRUE(Call(&Stub::RepositoryModelLoad, load, loaded).ok());
  EXPECT_THAT(loading_.asked(), ElementsAre("load oil@3"));
  inference::RepositoryModelUnloadRequest unload;
  inference::RepositoryModelUnloadResponse unloaded;
  unload.set_model_name("oil");
  (*unload.mutable_parameters())["unload_dependents"].set_bool_param(false);
  EXPECT_TRUE(Call(&Stub::RepositoryModelUnload, unload, unloaded).ok());
  EXPECT_THAT(loading_.asked(), ElementsAre("load oil@3", "unload oil@3"));
  loading_.answer = absl::UnavailableError("no worker");
  EXPECT_TRUE(absl::IsUnavailable(Call(&Stub::RepositoryModelLoad, load, loaded)));
  EXPECT_TRUE(absl::IsUnavailable(Call(&Stub::RepositoryModelUnload, unload, unloaded)));
  load.set_model_name("nobody");
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::RepositoryModelLoad, load, loaded)));
  unload.set_model_name("nobody");
  EXPECT_TRUE(absl::IsNotFound(Call(&Stub::RepositoryModelUnload, unload, unloaded)));
  load.set_model_name("identity");
  EXPECT_TRUE(Call(&Stub::RepositoryModelLoad, load, loaded).ok());
  (*load.mutable_parameters())["config"].set_string_param("{}");
  EXPECT_TRUE(absl::IsUnimplemented(Call(&Stub::RepositoryModelLoad, load, loaded)));
}

TEST_F(InferenceServiceTest, WhoDoesNotWaitForAnUnloadLeavesIt) {
  loading_.never = true;
  inference::RepositoryModelUnloadRequest unload;
  unload.set_model_name("oil");
  inference::RepositoryModelUnloadResponse unloaded;
  grpc::ClientContext context;
  auto status = std::async(std::launch::async, [&] {
    return FromGrpcStatus(stub_->RepositoryModelUnload(&context, unload, &unloaded));
  });
  EXPECT_TRUE(WaitUntil([&] { return !loading_.asked().empty(); }));
  context.TryCancel();
  EXPECT_TRUE(absl::IsCancelled(status.get()));
  std::vector<ModelLoading::Done> waiting = loading_.TakeWaiting();
  ASSERT_EQ(waiting.size(), 1U);
  std::move(waiting.front())(absl::OkStatus());  // late, and of no effect
}

TEST_F(InferenceServiceTest, WhatIsNotServedSaysSo) {
  const auto unimplemented = [this](auto method, const auto& request, auto response) {
    const absl::Status status = Call(method, request, response);
    EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
    EXPECT_THAT(std::string(status.message()), ::testing::EndsWith("."));
  };
  unimplemented(&Stub::SystemSharedMemoryStatus, inference::SystemSharedMemoryStatusRequest(),
                inference::SystemSharedMemoryStatusResponse());
  unimplemented(&Stub::SystemSharedMemoryRegister, inference::SystemSharedMemoryRegisterRequest(),
                inference::SystemSharedMemoryRegisterResponse());
  unimplemented(&Stub::SystemSharedMemoryUnregister,
                inference::SystemSharedMemoryUnregisterRequest(),
                inference::SystemSharedMemoryUnregisterResponse());
  unimplemented(&Stub::CudaSharedMemoryStatus, inference::CudaSharedMemoryStatusRequest(),
                inference::CudaSharedMemoryStatusResponse());
  unimplemented(&Stub::CudaSharedMemoryRegister, inference::CudaSharedMemoryRegisterRequest(),
                inference::CudaSharedMemoryRegisterResponse());
  unimplemented(&Stub::CudaSharedMemoryUnregister, inference::CudaSharedMemoryUnregisterRequest(),
                inference::CudaSharedMemoryUnregisterResponse());
  unimplemented(&Stub::TraceSetting, inference::TraceSettingRequest(),
                inference::TraceSettingResponse());
  unimplemented(&Stub::LogSettings, inference::LogSettingsRequest(),
                inference::LogSettingsResponse());
}

}  // namespace
}  // namespace atelier::server
