#include "bench/load/async_calls.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "common/rpc/grpc_status.h"

namespace atelier::bench {
namespace {

constexpr int kMaxMessageBytes = 64 << 20;

template <typename Response>
struct Call {
  grpc::ClientContext context;
  Response response;
};

}  // namespace

std::vector<std::shared_ptr<grpc::Channel>> MakeChannels(const std::string& target, int count) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < count; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    arguments.SetMaxSendMessageSize(kMaxMessageBytes);
    // A server that is going away says so to who watches its health, and gets no more calls while
    // it still takes them.
    arguments.SetServiceConfigJSON(
        R"({"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}})");
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    // A server that starts again is dialled again soon.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
    channels.push_back(
        grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments));
  }
  return channels;
}

StartCall StylizeCalls(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                       std::vector<v1::StylizeRequest> requests, absl::Duration deadline) {
  std::vector<std::shared_ptr<v1::StylizeService::Stub>> stubs;
  for (const auto& channel : channels) {
    stubs.push_back(v1::StylizeService::NewStub(channel));
  }
  const auto shared = std::make_shared<const std::vector<v1::StylizeRequest>>(std::move(requests));
  return [stubs = std::move(stubs), shared, deadline](std::size_t index,
                                                      std::function<void(absl::Status)> done) {
    auto call = std::make_shared<Call<v1::StylizeResponse>>();
    call->context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    stubs[index % stubs.size()]->async()->Stylize(
        &call->context, &(*shared)[index % shared->size()], &call->response,
        [call, shared, done = std::move(done)](const grpc::Status& status) {
          done(FromGrpcStatus(status));
        });
  };
}

StartCall InferCalls(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                     const inference::ModelInferRequest& request, absl::Duration deadline) {
  std::vector<std::shared_ptr<inference::GRPCInferenceService::Stub>> stubs;
  for (const auto& channel : channels) {
    stubs.push_back(inference::GRPCInferenceService::NewStub(channel));
  }
  const auto shared = std::make_shared<const inference::ModelInferRequest>(request);
  return [stubs = std::move(stubs), shared, deadline](std::size_t index,
                                                      std::function<void(absl::Status)> done) {
    auto call = std::make_shared<Call<inference::ModelInferResponse>>();
    call->context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    stubs[index % stubs.size()]->async()->ModelInfer(
        &call->context, shared.get(), &call->response,
        [call, shared, done = std::move(done)](const grpc::Status& status) {
          done(FromGrpcStatus(status));
        });
  };
}

}  // namespace atelier::bench
