// atelier.v1.ModelService.
#pragma once

#include "atelier/v1/models.grpc.pb.h"
#include "server/models/model_registry.h"
#include "server/rpc/transfer_room.h"

namespace atelier::server {

// Thread-safe.
class ModelService final : public v1::ModelService::CallbackService {
 public:
  // `models` and what `transfers` refers to outlive the service.
  ModelService(const ModelRegistry& models, const TransferRoom& transfers)
      : models_(models), transfers_(transfers) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::Model* response) override;
  grpc::ServerReadReactor<v1::ImportModelRequest>* Import(
      grpc::CallbackServerContext* context, v1::ImportModelResponse* response) override;
  grpc::ServerWriteReactor<v1::ExportModelResponse>* Export(
      grpc::CallbackServerContext* context, const v1::ExportModelRequest* request) override;

 private:
  absl::Status List(const v1::ListModelsRequest& request, v1::ListModelsResponse& response) const;
  absl::Status Get(const v1::GetModelRequest& request, v1::Model& response) const;

  const ModelRegistry& models_;
  const TransferRoom transfers_;
};

}  // namespace atelier::server
