// atelier.v1.ModelService.
#pragma once

#include "atelier/v1/models.grpc.pb.h"
#include "server/models/model_loads.h"
#include "server/models/model_manager.h"
#include "server/models/model_registry.h"
#include "server/rpc/bounded_service.h"
#include "server/rpc/promotion_room.h"
#include "server/rpc/transfer_room.h"

namespace atelier::server {

// The messages of Import as bytes: message_bytes.h says why.
using RawModelService = BoundedService<
    v1::ModelService,
    v1::ModelService::WithRawCallbackMethod_Import<v1::ModelService::CallbackService>>;

// Thread-safe.
class ModelService final : public RawModelService {
 public:
  // All of them and what `transfers` refers to outlive the service. `manager` must be stopped
  // before the gRPC server, which waits for its answers. `readers` read cards and ratings from
  // the disk. Without `promotion` there are neither gates nor ratings.
  ModelService(const ModelRegistry& models, const ModelLoads& loads, ModelManager& manager,
               const TransferRoom& transfers, TransferThreads& readers,
               const PromotionRoom* promotion = nullptr)
      : models_(models),
        loads_(loads),
        manager_(manager),
        transfers_(transfers),
        readers_(readers),
        promotion_(promotion) {
    Bound(this, &ModelService::ListModels, &ModelService::GetModel, &ModelService::Export,
          &ModelService::Load, &ModelService::Unload, &ModelService::Promote,
          &ModelService::SetLabel, &ModelService::Delete);
  }

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context,
                                     const v1::GetModelRequest* request,
                                     v1::Model* response) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* Import(grpc::CallbackServerContext* context,
                                                    grpc::ByteBuffer* response) override;
  grpc::ServerWriteReactor<v1::ExportModelResponse>* Export(
      grpc::CallbackServerContext* context, const v1::ExportModelRequest* request) override;
  grpc::ServerUnaryReactor* Load(grpc::CallbackServerContext* context,
                                 const v1::LoadModelRequest* request,
                                 v1::LoadModelResponse* response) override;
  grpc::ServerUnaryReactor* Unload(grpc::CallbackServerContext* context,
                                   const v1::UnloadModelRequest* request,
                                   v1::UnloadModelResponse* response) override;
  grpc::ServerUnaryReactor* Promote(grpc::CallbackServerContext* context,
                                    const v1::PromoteModelRequest* request,
                                    v1::PromoteModelResponse* response) override;
  grpc::ServerUnaryReactor* SetLabel(grpc::CallbackServerContext* context,
                                     const v1::SetModelLabelRequest* request,
                                     v1::SetModelLabelResponse* response) override;
  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteModelRequest* request,
                                   v1::DeleteModelResponse* response) override;

 private:
  absl::Status List(const v1::ListModelsRequest& request, v1::ListModelsResponse& response) const;
  absl::Status Get(const v1::GetModelRequest& request, v1::Model& response) const;
  void Fill(const ModelVersion& model, v1::Model& proto) const;
  // Fills `response.model` and ends the call.
  template <typename Response>
  Reply<ModelVersion> Answer(grpc::ServerUnaryReactor* reactor, Response* response) const;

  const ModelRegistry& models_;
  const ModelLoads& loads_;
  ModelManager& manager_;
  const TransferRoom transfers_;
  TransferThreads& readers_;
  const PromotionRoom* const promotion_;
};

}  // namespace atelier::server
