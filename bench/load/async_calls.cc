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

// `method` of `Service` with `requests` in turn over `channels` in turn.
template <typename Service, typename Response, typename Request, typename Method>
StartCall Calls(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                std::vector<Request> requests, absl::Duration deadline, Method method) {
  std::vector<std::shared_ptr<typename Service::Stub>> stubs;
  for (const auto& channel : channels) {
    stubs.push_back(Service::NewStub(channel));
  }
  const auto shared = std::make_shared<const std::vector<Request>>(std::move(requests));
  return [stubs = std::move(stubs), shared, deadline, method](
             std::size_t index, std::function<void(absl::Status)> done) {
    auto call = std::make_shared<Call<Response>>();
    call->context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    method(*stubs[index % stubs.size()]->async(), &call->context,
           &(*shared)[index % shared->size()], &call->response,
           [call, shared, done = std::move(done)](const grpc::Status& status) {
             done(FromGrpcStatus(status));
           });
  };
}

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
  return Calls<v1::StylizeService, v1::StylizeResponse>(
      channels, std::move(requests), deadline,
      [](auto& service, auto... arguments) { service.Stylize(std::move(arguments)...); });
}

StartCall InferCalls(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                     const inference::ModelInferRequest& request, absl::Duration deadline) {
  return Calls<inference::GRPCInferenceService, inference::ModelInferResponse>(
      channels, std::vector{request}, deadline,
      [](auto& service, auto... arguments) { service.ModelInfer(std::move(arguments)...); });
}

}  // namespace atelier::bench
