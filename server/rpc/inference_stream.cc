#include "server/rpc/inference_stream.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/inference_run.h"
#include "server/rpc/ordered_stream.h"

namespace atelier::server {
namespace {

using inference::ModelInferRequest;
using inference::ModelStreamInferResponse;
using InferenceStream = OrderedStream<ModelInferRequest, ModelStreamInferResponse>;

bool WantsRealStatus(const grpc::CallbackServerContext& context) {
  const auto found = context.client_metadata().find("triton_grpc_error");
  return found != context.client_metadata().end() && found->second == "true";
}

class InferenceTurn final : public InferenceStream::Turn {
 public:
  InferenceTurn(const InferenceRoom& room, const grpc::CallbackServerContext& context)
      : context_(context), ends_at_error_(WantsRealStatus(context)), run_(room) {}

  void Start(const ModelInferRequest& request, Done done) override {
    inference::ModelInferResponse& inferred = *response.mutable_infer_response();
    inferred.set_model_name(request.model_name());
    inferred.set_id(request.id());
    // The stream keeps this turn until `done` was called.
    run_.Start(context_, request, inferred,
               [this, done = std::move(done)](const absl::Status& status) mutable {
                 Answer(status, std::move(done));
               });
  }

  void Cancel() override { run_.Cancel(); }

 private:
  void Answer(const absl::Status& status, Done done) {
    if (status.ok()) {
      auto& parameters = *response.mutable_infer_response()->mutable_parameters();
      parameters["triton_final_response"].set_bool_param(true);
    } else {
      response.set_error_message(
          absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message()));
    }
    std::move(done)(ends_at_error_ ? status : absl::OkStatus());
  }

  const grpc::CallbackServerContext& context_;  // alive while turns are started
  const bool ends_at_error_;
  InferenceRun run_;
};

}  // namespace

grpc::ServerBidiReactor<ModelInferRequest, ModelStreamInferResponse>* StartInferenceStream(
    const InferenceRoom& room, grpc::CallbackServerContext& context) {
  return InferenceStream::Start(
      context, {.window = kInferencesAhead, .idle_limit = kInferenceStreamIdle},
      [&room, &context] { return std::make_shared<InferenceTurn>(room, context); });
}

}  // namespace atelier::server
