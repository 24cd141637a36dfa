#include "server/rpc/inference_call.h"

#include <memory>

#include "common/rpc/grpc_status.h"
#include "inference/grpc_service.pb.h"
#include "server/rpc/call_cutter.h"
#include "server/rpc/inference_run.h"
#include "server/rpc/message_bytes.h"

namespace atelier::server {
namespace {

// Alive until gRPC has let go of it and the inference has ended. As QueuedCall it holds each tensor
// once, and says what it holds of the answer until that is sent.
class InferenceCall final : public grpc::ServerUnaryReactor,
                            public std::enable_shared_from_this<InferenceCall> {
 public:
  InferenceCall(const InferenceRoom& room, grpc::CallbackServerContext& context,
                grpc::ByteBuffer& response)
      : run_(room), cutter_(std::make_shared<CallCutter>(context)), response_(response) {}

  void Begin(const grpc::CallbackServerContext& context, grpc::ByteBuffer& message) {
    self_ = shared_from_this();
    run_.Start(context, message, reply_,
               [keep_alive = self_](const absl::Status& status) { keep_alive->Answer(status); });
  }

 private:
  void OnCancel() override { run_.Cancel(); }

  void OnDone() override {
    cutter_->CallIsOver();
    run_.EndAnswer();
    self_.reset();
  }

  void Answer(const absl::Status& status) {
    if (status.ok()) {
      response_ = BytesOfMessage(reply_);
      run_.AnswerIsSent(response_.Length(), [cutter = cutter_] { cutter->Cut(); });
    }
    reply_ = inference::ModelInferResponse();
    Finish(ToGrpcStatus(status));
  }

  InferenceRun run_;
  const std::shared_ptr<CallCutter> cutter_;
  inference::ModelInferResponse reply_;
  grpc::ByteBuffer& response_;  // gRPC's, until Finish
  std::shared_ptr<InferenceCall> self_;
};

}  // namespace

grpc::ServerUnaryReactor* StartInference(const InferenceRoom& room,
                                         grpc::CallbackServerContext& context,
                                         const grpc::ByteBuffer& message,
                                         grpc::ByteBuffer& response) {
  const auto call = std::make_shared<InferenceCall>(room, context, response);
  grpc::ByteBuffer taken = TakeMessage(message);
  call->Begin(context, taken);
  return call.get();
}

}  // namespace atelier::server
