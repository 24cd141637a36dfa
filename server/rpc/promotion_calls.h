// The calls that make versions of checkpoints and promote through a gate.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>

#include "atelier/v1/models.pb.h"
#include "atelier/v1/training.pb.h"
#include "server/models/model_manager.h"
#include "server/rpc/promotion_room.h"

namespace atelier::server {

// gRPC owns what is returned; room and manager outlive the call.
grpc::ServerUnaryReactor* StartPublishing(const PromotionRoom& room,
                                          const v1::PublishCheckpointRequest& request,
                                          v1::PublishCheckpointResponse& response);

// Measures first, then promotes by the manager. `fill` puts a version into `response.model`.
using FillModel = std::function<void(const ModelVersion& model, v1::Model& proto)>;
grpc::ServerUnaryReactor* StartGatedPromotion(const PromotionRoom& room, ModelManager& manager,
                                              const v1::PromoteModelRequest& request,
                                              absl::Time deadline, FillModel fill,
                                              v1::PromoteModelResponse& response);

}  // namespace atelier::server
