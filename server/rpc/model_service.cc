#include "server/rpc/model_service.h"

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "common/errors.h"
#include "common/files.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/rpc/paging.h"
#include "server/store/proto_time.h"

namespace atelier::server {
namespace {

constexpr char kList[] = "models";
constexpr std::uint64_t kMaxCardBytes = 1 << 20;

void ToProto(const ModelVersion& model, v1::Model& proto) {
  proto.set_name(model.name);
  proto.set_version(model.version);
  for (const std::string& label : model.labels) {
    proto.add_labels(label);
  }
  proto.set_family(model.family);
  proto.set_tier(model.tier);
  for (const std::string& capability : model.capabilities) {
    proto.add_capabilities(capability);
  }
  proto.set_parameters(model.parameters);
  proto.set_default_precision(model.default_precision == Precision::kBf16 ? v1::PRECISION_BF16
                                                                          : v1::PRECISION_FP32);
  proto.set_weights_sha256(model.weights_sha256);
  proto.set_weights_bytes(model.weights_bytes);
  proto.set_shipped(model.shipped);
  proto.set_job_id(model.job_id);
  if (model.create_time != absl::InfinitePast()) {
    *proto.mutable_create_time() = TimeToProto(model.create_time);
  }
}

// The key of a page token, "NAME@VERSION", in the order of the list. An empty one is before
// everything.
absl::StatusOr<std::pair<std::string, std::uint32_t>> ParseKey(const std::string& key) {
  std::pair<std::string, std::uint32_t> parsed;
  const std::size_t at = key.rfind('@');
  if (key.empty()) {
    return parsed;
  }
  parsed.first = key.substr(0, at);
  if (at == std::string::npos || !absl::SimpleAtoi(key.substr(at + 1), &parsed.second)) {
    return InvalidField("page_token", "pass the next_page_token of the reply before, unchanged");
  }
  return parsed;
}

}  // namespace

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest* request,
                                                   v1::ListModelsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(List(*request, *response)));
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context,
                                                 const v1::GetModelRequest* request,
                                                 v1::Model* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(Get(*request, *response)));
  return reactor;
}

absl::Status ModelService::List(const v1::ListModelsRequest& request,
                                v1::ListModelsResponse& response) const {
  ATELIER_ASSIGN_OR_RETURN(const std::uint32_t size, PageSize(request.page_size()));
  ATELIER_ASSIGN_OR_RETURN(const std::string key, PageKey(kList, request.page_token()));
  ATELIER_ASSIGN_OR_RETURN(const auto behind, ParseKey(key));
  for (const ModelVersion& model : models_.List()) {
    if (std::pair(model.name, model.version) <= behind) {
      continue;
    }
    if (response.models_size() == static_cast<int>(size)) {
      const v1::Model& last = response.models(response.models_size() - 1);
      response.set_next_page_token(
          PageToken(kList, last.name() + "@" + std::to_string(last.version())));
      break;
    }
    ToProto(model, *response.add_models());
  }
  return absl::OkStatus();
}

absl::Status ModelService::Get(const v1::GetModelRequest& request, v1::Model& response) const {
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model, models_.Resolve(request.model()));
  ToProto(model, response);
  // A model without a card, or with an unreadable one, is still a model.
  if (absl::StatusOr<std::string> card = ReadFile(model.directory / "card.md", kMaxCardBytes);
      card.ok()) {
    response.set_card(*std::move(card));
  }
  return absl::OkStatus();
}

}  // namespace atelier::server
