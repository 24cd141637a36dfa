// Calls of a server's own API and of the Open Inference Protocol that do not block. Thread-safe.
#pragma once

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "bench/load/open_loop.h"
#include "inference/grpc_service.grpc.pb.h"

namespace atelier::bench {

// To one address, or, with "ipv4:A:PORT,B:PORT", to several in turn (round robin), where a call
// that a server has not begun goes to the next. Each channel has a connection of its own.
std::vector<std::shared_ptr<grpc::Channel>> MakeChannels(const std::string& target, int count);

// Stylize with `requests` in turn over `channels` in turn. What `channels` points to outlives the
// calls.
StartCall StylizeCalls(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                       std::vector<v1::StylizeRequest> requests, absl::Duration deadline);

// ModelInfer with the same request every time.
StartCall InferCalls(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                     const inference::ModelInferRequest& request, absl::Duration deadline);

}  // namespace atelier::bench
