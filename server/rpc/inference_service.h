// inference.GRPCInferenceService: the Open Inference Protocol and the extensions of Triton that its
// clients use. docs/open-inference.md says which model takes which tensors.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "inference/grpc_service.grpc.pb.h"
#include "server/rpc/bounded_service.h"
#include "server/rpc/inference_room.h"

namespace atelier::server {

// The two calls that carry tensors come as bytes (message_bytes.h says why), the others as
// messages. Generated code has one class template a method, and a list of all only for all as
// messages.
using Oip = inference::GRPCInferenceService;
using OpenProtocolMessages = Oip::WithCallbackMethod_ServerLive<
    Oip::WithCallbackMethod_ServerReady<Oip::WithCallbackMethod_ModelReady<
        Oip::WithCallbackMethod_ServerMetadata<Oip::WithCallbackMethod_ModelMetadata<
            Oip::WithCallbackMethod_ModelConfig<Oip::WithCallbackMethod_ModelStatistics<
                Oip::WithCallbackMethod_RepositoryIndex<Oip::WithCallbackMethod_RepositoryModelLoad<
                    Oip::WithCallbackMethod_RepositoryModelUnload<
                        Oip::WithCallbackMethod_SystemSharedMemoryStatus<
                            Oip::WithCallbackMethod_SystemSharedMemoryRegister<
                                Oip::WithCallbackMethod_SystemSharedMemoryUnregister<
                                    Oip::WithCallbackMethod_CudaSharedMemoryStatus<
                                        Oip::WithCallbackMethod_CudaSharedMemoryRegister<
                                            Oip::WithCallbackMethod_CudaSharedMemoryUnregister<
                                                Oip::WithCallbackMethod_TraceSetting<
                                                    Oip::WithCallbackMethod_LogSettings<
                                                        Oip::Service>>>>>>>>>>>>>>>>>>;
using RawInferenceService = Oip::WithRawCallbackMethod_ModelInfer<
    Oip::WithRawCallbackMethod_ModelStreamInfer<OpenProtocolMessages>>;

// Thread-safe; never blocks. What it does not override (shared memory, trace and log settings) is
// answered UNIMPLEMENTED with a sentence.
class InferenceService final : public BoundedService<Oip, RawInferenceService> {
 public:
  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  explicit InferenceService(InferenceRoom room) : room_(std::move(room)) {
    Bound(
        this, &InferenceService::ServerLive, &InferenceService::ServerReady,
        &InferenceService::ModelReady, &InferenceService::ServerMetadata,
        &InferenceService::ModelMetadata, &InferenceService::ModelConfig,
        &InferenceService::ModelStatistics, &InferenceService::RepositoryIndex,
        &InferenceService::RepositoryModelLoad, &InferenceService::RepositoryModelUnload,
        &InferenceService::SystemSharedMemoryStatus, &InferenceService::SystemSharedMemoryRegister,
        &InferenceService::SystemSharedMemoryUnregister, &InferenceService::CudaSharedMemoryStatus,
        &InferenceService::CudaSharedMemoryRegister, &InferenceService::CudaSharedMemoryUnregister,
        &InferenceService::TraceSetting, &InferenceService::LogSettings);
  }

  Reactor* ServerLive(Context* context, const inference::ServerLiveRequest* request,
                      inference::ServerLiveResponse* response) override;
  Reactor* ServerReady(Context* context, const inference::ServerReadyRequest* request,
                       inference::ServerReadyResponse* response) override;
  Reactor* ModelReady(Context* context, const inference::ModelReadyRequest* request,
                      inference::ModelReadyResponse* response) override;
  Reactor* ServerMetadata(Context* context, const inference::ServerMetadataRequest* request,
                          inference::ServerMetadataResponse* response) override;
  Reactor* ModelMetadata(Context* context, const inference::ModelMetadataRequest* request,
                         inference::ModelMetadataResponse* response) override;
  Reactor* ModelInfer(Context* context, const grpc::ByteBuffer* request,
                      grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ModelStreamInfer(
      Context* context) override;
  Reactor* ModelConfig(Context* context, const inference::ModelConfigRequest* request,
                       inference::ModelConfigResponse* response) override;
  Reactor* ModelStatistics(Context* context, const inference::ModelStatisticsRequest* request,
                           inference::ModelStatisticsResponse* response) override;
  Reactor* RepositoryIndex(Context* context, const inference::RepositoryIndexRequest* request,
                           inference::RepositoryIndexResponse* response) override;
  Reactor* RepositoryModelLoad(Context* context,
                               const inference::RepositoryModelLoadRequest* request,
                               inference::RepositoryModelLoadResponse* response) override;
  Reactor* RepositoryModelUnload(Context* context,
                                 const inference::RepositoryModelUnloadRequest* request,
                                 inference::RepositoryModelUnloadResponse* response) override;

  Reactor* SystemSharedMemoryStatus(Context* context,
                                    const inference::SystemSharedMemoryStatusRequest* request,
                                    inference::SystemSharedMemoryStatusResponse* response) override;
  Reactor* SystemSharedMemoryRegister(
      Context* context, const inference::SystemSharedMemoryRegisterRequest* request,
      inference::SystemSharedMemoryRegisterResponse* response) override;
  Reactor* SystemSharedMemoryUnregister(
      Context* context, const inference::SystemSharedMemoryUnregisterRequest* request,
      inference::SystemSharedMemoryUnregisterResponse* response) override;
  Reactor* CudaSharedMemoryStatus(Context* context,
                                  const inference::CudaSharedMemoryStatusRequest* request,
                                  inference::CudaSharedMemoryStatusResponse* response) override;
  Reactor* CudaSharedMemoryRegister(Context* context,
                                    const inference::CudaSharedMemoryRegisterRequest* request,
                                    inference::CudaSharedMemoryRegisterResponse* response) override;
  Reactor* CudaSharedMemoryUnregister(
      Context* context, const inference::CudaSharedMemoryUnregisterRequest* request,
      inference::CudaSharedMemoryUnregisterResponse* response) override;
  Reactor* TraceSetting(Context* context, const inference::TraceSettingRequest* request,
                        inference::TraceSettingResponse* response) override;
  Reactor* LogSettings(Context* context, const inference::LogSettingsRequest* request,
                       inference::LogSettingsResponse* response) override;

 private:
  absl::Status Describe(const inference::ModelMetadataRequest& request,
                        inference::ModelMetadataResponse& response) const;
  absl::Status Describe(const inference::ModelConfigRequest& request,
                        inference::ModelConfigResponse& response) const;
  absl::Status Count(const inference::ModelStatisticsRequest& request,
                     inference::ModelStatisticsResponse& response) const;
  absl::Status List(const inference::RepositoryIndexRequest& request,
                    inference::RepositoryIndexResponse& response) const;

  const InferenceRoom room_;
};

}  // namespace atelier::server
