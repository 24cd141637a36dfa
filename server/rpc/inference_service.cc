#include "server/rpc/inference_service.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/build_info.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/inference/model_tensors.h"
#include "server/inference/statistics_proto.h"
#include "server/rpc/inference_call.h"
#include "server/rpc/inference_stream.h"
#include "server/rpc/loading_call.h"
#include "server/rpc/queued_call.h"

namespace atelier::server {
namespace {

constexpr char kServerName[] = "atelier";
// Every version is loaded on first use, or ahead of it.
constexpr char kReady[] = "READY";
// Those of Triton's names that are served; "statistics" makes perf_analyzer ask for them.
constexpr const char* kExtensions[] = {"model_repository", "model_repository(unload_dependents)",
                                       "schedule_policy",  "model_configuration",
                                       "parameters",       "statistics"};

grpc::ServerUnaryReactor* AnswerStatus(grpc::CallbackServerContext* context,
                                       const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

grpc::ServerUnaryReactor* NoSharedMemory(grpc::CallbackServerContext* context) {
  return AnswerStatus(
      context,
      absl::UnimplementedError("Clients and workers share no memory here; send and receive tensors "
                               "in the messages."));
}

grpc::ServerUnaryReactor* NoSettings(grpc::CallbackServerContext* context) {
  return AnswerStatus(
      context, absl::UnimplementedError("Tracing and logging are not set by clients; figures are "
                                        "at the metrics port."));
}

absl::Status CheckRepository(const std::string& name) {
  return name.empty() ? absl::OkStatus()
                      : InvalidField("repository_name",
                                     "must be empty: there is one repository, without a name");
}

absl::Status CheckParameters(const inference::RepositoryModelLoadRequest& request) {
  return request.parameters().empty()
             ? absl::OkStatus()
             : absl::UnimplementedError(
                   "Configurations and files are not taken with a load; import models with "
                   "ModelService.Import.");
}

absl::Status CheckParameters(const inference::RepositoryModelUnloadRequest& request) {
  for (const auto& [name, value] : request.parameters()) {
    if (name != "unload_dependents") {
      return InvalidField("parameters", absl::StrCat("has ", Shown(name),
                                                     ", which is not known; \"unload_dependents\" "
                                                     "is, and nothing depends on a model here"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* InferenceService::ServerLive(
    Context* context, const inference::ServerLiveRequest* /*request*/,
    inference::ServerLiveResponse* response) {
  response->set_live(true);
  return AnswerStatus(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* InferenceService::ServerReady(
    Context* context, const inference::ServerReadyRequest* /*request*/,
    inference::ServerReadyResponse* response) {
  response->set_ready(room_.ready());
  return AnswerStatus(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* InferenceService::ModelReady(Context* context,
                                                       const inference::ModelReadyRequest* request,
                                                       inference::ModelReadyResponse* response) {
  const absl::Status status = room_.models.Resolve(request->name(), request->version()).status();
  response->set_ready(status.ok());
  return AnswerStatus(context, status);
}

grpc::ServerUnaryReactor* InferenceService::ServerMetadata(
    Context* context, const inference::ServerMetadataRequest* /*request*/,
    inference::ServerMetadataResponse* response) {
  response->set_name(kServerName);
  response->set_version(Version());
  for (const char* extension : kExtensions) {
    response->add_extensions(extension);
  }
  return AnswerStatus(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* InferenceService::ModelMetadata(
    Context* context, const inference::ModelMetadataRequest* request,
    inference::ModelMetadataResponse* response) {
  return AnswerStatus(context, Describe(*request, *response));
}

grpc::ServerUnaryReactor* InferenceService::ModelInfer(Context* context,
                                                       const grpc::ByteBuffer* request,
                                                       grpc::ByteBuffer* response) {
  return StartInference(room_, *context, *request, *response);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* InferenceService::ModelStreamInfer(
    Context* context) {
  return StartInferenceStream(room_, *context);
}

grpc::ServerUnaryReactor* InferenceService::ModelConfig(
    Context* context, const inference::ModelConfigRequest* request,
    inference::ModelConfigResponse* response) {
  return AnswerStatus(context, Describe(*request, *response));
}

grpc::ServerUnaryReactor* InferenceService::ModelStatistics(
    Context* context, const inference::ModelStatisticsRequest* request,
    inference::ModelStatisticsResponse* response) {
  return AnswerStatus(context, Count(*request, *response));
}

grpc::ServerUnaryReactor* InferenceService::RepositoryIndex(
    Context* context, const inference::RepositoryIndexRequest* request,
    inference::RepositoryIndexResponse* response) {
  return AnswerStatus(context, List(*request, *response));
}

grpc::ServerUnaryReactor* InferenceService::RepositoryModelLoad(
    Context* context, const inference::RepositoryModelLoadRequest* request,
    inference::RepositoryModelLoadResponse* /*response*/) {
  absl::Status status = CheckRepository(request->repository_name());
  status.Update(CheckParameters(*request));
  const absl::StatusOr<ModelVersion> model = room_.models.Resolve(request->model_name(), "");
  status.Update(model.status());
  if (!status.ok() || room_.models.IsIdentity(request->model_name())) {
    return AnswerStatus(context, status);
  }
  return StartLoading(room_.loading, LoadingAction::kLoad, {NameAtVersion(*model)},
                      DeadlineOf(*context, room_.clock.Now()));
}

grpc::ServerUnaryReactor* InferenceService::RepositoryModelUnload(
    Context* context, const inference::RepositoryModelUnloadRequest* request,
    inference::RepositoryModelUnloadResponse* /*response*/) {
  absl::Status status = CheckRepository(request->repository_name());
  status.Update(CheckParameters(*request));
  status.Update(room_.models.Resolve(request->model_name(), "").status());
  if (!status.ok() || room_.models.IsIdentity(request->model_name())) {
    return AnswerStatus(context, status);
  }
  std::vector<std::string> references;
  for (const ModelVersion& model : room_.models.VersionsOf(request->model_name())) {
    references.push_back(NameAtVersion(model));
  }
  return StartLoading(room_.loading, LoadingAction::kUnload, references,
                      DeadlineOf(*context, room_.clock.Now()));
}

absl::Status InferenceService::Describe(const inference::ModelMetadataRequest& request,
                                        inference::ModelMetadataResponse& response) const {
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model,
                           room_.models.Resolve(request.name(), request.version()));
  server::Describe(model, room_.models.VersionsOf(model.name), response);
  return absl::OkStatus();
}

absl::Status InferenceService::Describe(const inference::ModelConfigRequest& request,
                                        inference::ModelConfigResponse& response) const {
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model,
                           room_.models.Resolve(request.name(), request.version()));
  DescribeConfig(model, room_.cache.enabled(), *response.mutable_config());
  return absl::OkStatus();
}

absl::Status InferenceService::Count(const inference::ModelStatisticsRequest& request,
                                     inference::ModelStatisticsResponse& response) const {
  for (const ModelVersion& model : room_.models.List()) {
    const std::string version = std::to_string(model.version);
    if ((request.name().empty() || request.name() == model.name) &&
        (request.version().empty() || request.version() == version)) {
      ToProto(model.name, model.version, room_.statistics.Of(model.name, model.version),
              *response.add_model_stats());
    }
  }
  // INVALID_ARGUMENT is what Triton's clients expect of this call, and of no other.
  return request.name().empty() || response.model_stats_size() > 0
             ? absl::OkStatus()
             : InvalidField("name", absl::StrCat("requested model ", Shown(request.name()),
                                                 " is not available"));
}

absl::Status InferenceService::List(const inference::RepositoryIndexRequest& request,
                                    inference::RepositoryIndexResponse& response) const {
  ATELIER_RETURN_IF_ERROR(CheckRepository(request.repository_name()));
  for (const ModelVersion& model : room_.models.List()) {
    auto& entry = *response.add_models();
    entry.set_name(model.name);
    entry.set_version(std::to_string(model.version));
    entry.set_state(kReady);
  }
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* InferenceService::SystemSharedMemoryStatus(
    Context* context, const inference::SystemSharedMemoryStatusRequest* /*request*/,
    inference::SystemSharedMemoryStatusResponse* /*response*/) {
  return NoSharedMemory(context);
}

grpc::ServerUnaryReactor* InferenceService::SystemSharedMemoryRegister(
    Context* context, const inference::SystemSharedMemoryRegisterRequest* /*request*/,
    inference::SystemSharedMemoryRegisterResponse* /*response*/) {
  return NoSharedMemory(context);
}

grpc::ServerUnaryReactor* InferenceService::SystemSharedMemoryUnregister(
    Context* context, const inference::SystemSharedMemoryUnregisterRequest* /*request*/,
    inference::SystemSharedMemoryUnregisterResponse* /*response*/) {
  return NoSharedMemory(context);
}

grpc::ServerUnaryReactor* InferenceService::CudaSharedMemoryStatus(
    Context* context, const inference::CudaSharedMemoryStatusRequest* /*request*/,
    inference::CudaSharedMemoryStatusResponse* /*response*/) {
  return NoSharedMemory(context);
}

grpc::ServerUnaryReactor* InferenceService::CudaSharedMemoryRegister(
    Context* context, const inference::CudaSharedMemoryRegisterRequest* /*request*/,
    inference::CudaSharedMemoryRegisterResponse* /*response*/) {
  return NoSharedMemory(context);
}

grpc::ServerUnaryReactor* InferenceService::CudaSharedMemoryUnregister(
    Context* context, const inference::CudaSharedMemoryUnregisterRequest* /*request*/,
    inference::CudaSharedMemoryUnregisterResponse* /*response*/) {
  return NoSharedMemory(context);
}

grpc::ServerUnaryReactor* InferenceService::TraceSetting(
    Context* context, const inference::TraceSettingRequest* /*request*/,
    inference::TraceSettingResponse* /*response*/) {
  return NoSettings(context);
}

grpc::ServerUnaryReactor* InferenceService::LogSettings(
    Context* context, const inference::LogSettingsRequest* /*request*/,
    inference::LogSettingsResponse* /*response*/) {
  return NoSettings(context);
}

}  // namespace atelier::server
