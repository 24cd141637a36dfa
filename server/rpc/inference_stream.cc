#include "server/rpc/inference_stream.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "inference/grpc_service.pb.h"
#include "server/rpc/inference_run.h"
#include "server/rpc/message_bytes.h"
#include "server/rpc/ordered_stream.h"

namespace atelier::server {
namespace {

using InferenceStream = OrderedStream<grpc::ByteBuffer, grpc::ByteBuffer>;

bool WantsRealStatus(const grpc::CallbackServerContext& context) {
  const auto found = context.client_metadata().find("triton_grpc_error");
  return found != context.client_metadata().end() && found->second == "true";
}

class InferenceTurn final : public InferenceStream::Turn {
 public:
  InferenceTurn(const InferenceRoom& room, const grpc::CallbackServerContext& context)
      : context_(context), ends_at_error_(WantsRealStatus(context)), run_(room) {}

  void Start(grpc::ByteBuffer& message, Done done) override {
    // The stream keeps this turn until `done` was called.
    run_.Start(context_, message, *reply_.mutable_infer_response(),
               [this, done = std::move(done)](const absl::Status& status) mutable {
                 Answer(status, std::move(done));
               });
  }

  void Awaited() override { run_.Awaited(); }
  void Cancel() override { run_.Cancel(); }

 private:
  void Answer(const absl::Status& status, Done done) {
    if (status.ok()) {
      auto& parameters = *reply_.mutable_infer_response()->mutable_parameters();
      parameters["triton_final_response"].set_bool_param(true);
    } else {
      reply_.set_error_message(
          absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message()));
    }
    response = BytesOfMessage(reply_);
    reply_ = inference::ModelStreamInferResponse();
    if (status.ok()) {
      run_.AnswerIsSent(response.Length(), [] {});  // the stream itself cuts what is not read
    }
    std::move(done)(ends_at_error_ ? status : absl::OkStatus());
  }

  const grpc::CallbackServerContext& context_;  // alive while turns are started
  const bool ends_at_error_;
  inference::ModelStreamInferResponse reply_;
  InferenceRun run_;
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartInferenceStream(
    const InferenceRoom& room, grpc::CallbackServerContext& context) {
  return InferenceStream::Start(
      context, {.window = kInferencesAhead, .idle_limit = kInferenceStreamIdle},
      [&room, &context] { return std::make_shared<InferenceTurn>(room, context); });
}

}  // namespace atelier::server
