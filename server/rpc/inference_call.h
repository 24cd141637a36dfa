// inference.GRPCInferenceService.ModelInfer.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "inference/grpc_service.pb.h"
#include "server/rpc/inference_room.h"

namespace atelier::server {

// gRPC owns what is returned.
grpc::ServerUnaryReactor* StartInference(const InferenceRoom& room,
                                         const grpc::CallbackServerContext& context,
                                         const inference::ModelInferRequest& request,
                                         inference::ModelInferResponse& response);

}  // namespace atelier::server
