// The C++ half of "overhead" (bench/overhead.py): a client of the identity model, and the handler
// that does nothing.
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdio>
#include <memory>
#include <string>

#include "bench/load/async_calls.h"
#include "bench/load/summary.h"
#include "bench/report.h"
#include "bench/serving_benches.h"

namespace atelier::bench {
namespace {

constexpr int kPayloadBytes = 20'000;
constexpr absl::Duration kOverheadDeadline = absl::Seconds(10);
constexpr absl::Duration kWarmUp = absl::Milliseconds(500);

inference::ModelInferRequest IdentityRequest() {
  inference::ModelInferRequest request;
  request.set_model_name("identity");
  auto& input = *request.add_inputs();
  input.set_name("INPUT0");
  input.set_datatype("UINT8");
  input.add_shape(1);
  input.add_shape(kPayloadBytes);
  request.add_raw_input_contents(std::string(kPayloadBytes, 'x'));
  return request;
}

class FloorService final : public inference::GRPCInferenceService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context,
                                       const inference::ModelInferRequest* request,
                                       inference::ModelInferResponse* response) override {
    response->set_model_name(request->model_name());
    response->set_model_version("1");
    response->set_id(request->id());
    for (const auto& input : request->inputs()) {
      auto& output = *response->add_outputs();
      output.set_name("OUTPUT0");
      output.set_datatype(input.datatype());
      *output.mutable_shape() = input.shape();
    }
    *response->mutable_raw_output_contents() = request->raw_input_contents();
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

}  // namespace

absl::Status RunInfer(const std::string& address, int clients, absl::Duration duration) {
  const StartCall call =
      InferCalls(MakeChannels(address, clients), IdentityRequest(), kOverheadDeadline);
  ClosedLoop(clients, kWarmUp, call);
  const Summary summary = Summarize(ClosedLoop(clients, duration, call));
  if (summary.ok != summary.calls || summary.ok == 0) {
    return absl::UnavailableError(std::to_string(summary.calls - summary.ok) + " calls failed");
  }
  std::printf("{\"rps\":%.1f,\"p50_ms\":%.4f,\"p99_ms\":%.4f}\n",
              static_cast<double>(summary.ok) / absl::ToDoubleSeconds(duration),
              Quantile(summary.ok_ms, 0.5), Quantile(summary.ok_ms, 0.99));
  return absl::OkStatus();
}

absl::Status ServeFloor() {
  FloorService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return absl::UnavailableError("cannot listen on loopback");
  }
  std::printf("listening grpc=127.0.0.1:%d\n", port);
  std::fflush(stdout);
  server->Wait();  // until a signal ends the process
  return absl::OkStatus();
}

}  // namespace atelier::bench
