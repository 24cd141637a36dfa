#include "server/rpc/inference_call.h"

#include <memory>

#include "common/rpc/grpc_status.h"
#include "server/rpc/inference_run.h"

namespace atelier::server {
namespace {

// Alive until gRPC has let go of it and the inference has ended.
class InferenceCall final : public grpc::ServerUnaryReactor,
                            public std::enable_shared_from_this<InferenceCall> {
 public:
  explicit InferenceCall(const InferenceRoom& room) : run_(room) {}

  void Begin(const grpc::CallbackServerContext& context,
             const inference::ModelInferRequest& request, inference::ModelInferResponse& response) {
    self_ = shared_from_this();
    run_.Start(context, request, response, [keep_alive = self_](const absl::Status& status) {
      keep_alive->Finish(ToGrpcStatus(status));
    });
  }

 private:
  void OnCancel() override { run_.Cancel(); }
  void OnDone() override { self_.reset(); }

  InferenceRun run_;
  std::shared_ptr<InferenceCall> self_;
};

}  // namespace

grpc::ServerUnaryReactor* StartInference(const InferenceRoom& room,
                                         const grpc::CallbackServerContext& context,
                                         const inference::ModelInferRequest& request,
                                         inference::ModelInferResponse& response) {
  const auto call = std::make_shared<InferenceCall>(room);
  call->Begin(context, request, response);
  return call.get();
}

}  // namespace atelier::server
