#include "server/rpc/model_service.h"

#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/rpc/export_stream.h"
#include "server/rpc/import_stream.h"
#include "server/rpc/model_proto.h"
#include "server/rpc/paging.h"

namespace atelier::server {
namespace {

constexpr char kList[] = "models";

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

grpc::ServerReadReactor<v1::ImportModelRequest>* ModelService::Import(
    grpc::CallbackServerContext* /*context*/, v1::ImportModelResponse* response) {
  return StartImport(transfers_, *response);
}

grpc::ServerWriteReactor<v1::ExportModelResponse>* ModelService::Export(
    grpc::CallbackServerContext* context, const v1::ExportModelRequest* request) {
  return StartExport(transfers_, *context, *request);
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
  AddCard(model, response);
  return absl::OkStatus();
}

}  // namespace atelier::server
