// inference.GRPCInferenceService.ModelStreamInfer: inferences one after the other, answered in
// their order.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <cstddef>

#include "absl/time/time.h"
#include "server/rpc/inference_room.h"

namespace atelier::server {

// How many messages are read ahead of the answers: a client that does not read its answers is not
// read from either.
inline constexpr std::size_t kInferencesAhead = 8;

// Triton keeps streams that say nothing for ever, and its clients open them ahead of their work.
inline constexpr absl::Duration kInferenceStreamIdle = absl::Minutes(10);

// An error is one inference's answer and leaves the stream open, unless the client has sent the
// metadata `triton_grpc_error: true`: then the first one ends the stream. gRPC owns what is
// returned.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartInferenceStream(
    const InferenceRoom& room, grpc::CallbackServerContext& context);

}  // namespace atelier::server
