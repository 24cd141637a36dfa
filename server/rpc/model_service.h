// atelier.v1.ModelService.
#pragma once

#include "atelier/v1/models.grpc.pb.h"
#include "server/models/model_registry.h"

namespace atelier::server {

// Thread-safe.
class ModelService final : public v1::ModelService::CallbackService {
 public:
  // `models` outlives the service.
  explicit ModelService(const ModelRegistry& models) : models_(models) {}

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::Model* response) override;

 private:
  absl::Status List(const v1::ListModelsRequest& request, v1::ListModelsResponse& response) const;
  absl::Status Get(const v1::GetModelRequest& request, v1::Model& response) const;

  const ModelRegistry& models_;
};

}  // namespace atelier::server
