// inference.GRPCInferenceService.ModelInfer.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/rpc/inference_room.h"

namespace atelier::server {

// gRPC owns what is returned.
grpc::ServerUnaryReactor* StartInference(const InferenceRoom& room,
                                         grpc::CallbackServerContext& context,
                                         const grpc::ByteBuffer& message,
                                         grpc::ByteBuffer& response);

}  // namespace atelier::server
