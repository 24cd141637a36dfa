#include "server/rpc/model_service.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "common/errors.h"
#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/rpc/export_stream.h"
#include "server/rpc/import_stream.h"
#include "server/rpc/model_proto.h"
#include "server/rpc/paging.h"
#include "server/rpc/promotion_calls.h"
#include "server/rpc/thread_call.h"

namespace atelier::server {
namespace {

constexpr char kModelList[] = "models";

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

// Of the requests that load.
template <typename Request>
std::vector<std::uint32_t> SizesOf(const Request& request) {
  return {request.warmup_sizes().begin(), request.warmup_sizes().end()};
}

}  // namespace

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest* request,
                                                   v1::ListModelsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(List(*request, *response)));
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* /*context*/,
                                                 const v1::GetModelRequest* request,
                                                 v1::Model* response) {
  return StartReading(readers_, [this, request, response] { return Get(*request, *response); });
}

grpc::ServerReadReactor<grpc::ByteBuffer>* ModelService::Import(
    grpc::CallbackServerContext* /*context*/, grpc::ByteBuffer* response) {
  return StartImport(transfers_, *response);
}

grpc::ServerWriteReactor<v1::ExportModelResponse>* ModelService::Export(
    grpc::CallbackServerContext* context, const v1::ExportModelRequest* request) {
  return StartExport(transfers_, *context, *request);
}

absl::Status ModelService::List(const v1::ListModelsRequest& request,
                                v1::ListModelsResponse& response) const {
  ATELIER_ASSIGN_OR_RETURN(const std::uint32_t size, PageSize(request.page_size()));
  ATELIER_ASSIGN_OR_RETURN(const std::string key, PageKey(kModelList, request.page_token()));
  ATELIER_ASSIGN_OR_RETURN(const auto behind, ParseKey(key));
  for (const ModelVersion& model : models_.List()) {
    if (std::pair(model.name, model.version) <= behind) {
      continue;
    }
    if (response.models_size() == static_cast<int>(size)) {
      const v1::Model& last = response.models(response.models_size() - 1);
      response.set_next_page_token(
          PageToken(kModelList, last.name() + "@" + std::to_string(last.version())));
      break;
    }
    Fill(model, *response.add_models());
  }
  return absl::OkStatus();
}

absl::Status ModelService::Get(const v1::GetModelRequest& request, v1::Model& response) const {
  ATELIER_ASSIGN_OR_RETURN(const ModelVersion model, models_.Resolve(request.model()));
  Fill(model, response);
  AddCard(model, response);
  if (promotion_ != nullptr) {
    ATELIER_ASSIGN_OR_RETURN(*response.mutable_ratings(),
                             promotion_->ratings.Summary(model.name, model.version));
    response.mutable_card()->append(RatingSection(response.ratings()));
  }
  return absl::OkStatus();
}

void ModelService::Fill(const ModelVersion& model, v1::Model& proto) const {
  ToProto(model, proto);
  proto.set_loaded_workers(loads_.LoadedWorkers(model));
}

template <typename Response>
Reply<ModelVersion> ModelService::Answer(grpc::ServerUnaryReactor* reactor,
                                         Response* response) const {
  return Reply<ModelVersion>([this, reactor, response](absl::StatusOr<ModelVersion> model) {
    if (model.ok()) {
      Fill(*model, *response->mutable_model());
    }
    reactor->Finish(ToGrpcStatus(model.status()));
  });
}

grpc::ServerUnaryReactor* ModelService::Load(grpc::CallbackServerContext* context,
                                             const v1::LoadModelRequest* request,
                                             v1::LoadModelResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  manager_.Load(request->model(), SizesOf(*request), absl::FromChrono(context->deadline()),
                Answer(reactor, response), [context] { return context->IsCancelled(); });
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::Unload(grpc::CallbackServerContext* context,
                                               const v1::UnloadModelRequest* request,
                                               v1::UnloadModelResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  manager_.Unload(request->model(), absl::FromChrono(context->deadline()),
                  Answer(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::Promote(grpc::CallbackServerContext* context,
                                                const v1::PromoteModelRequest* request,
                                                v1::PromoteModelResponse* response) {
  const absl::Time deadline = absl::FromChrono(context->deadline());
  // A reference that does not say which version is for the manager to refuse.
  if (request->has_gate() && promotion_ != nullptr &&
      request->model().find('@') != std::string::npos) {
    return StartGatedPromotion(
        *promotion_, manager_, *request, deadline,
        [this](const ModelVersion& model, v1::Model& proto) { Fill(model, proto); }, *response);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  manager_.Promote(
      request->model(), SizesOf(*request), deadline,
      Reply<ModelManager::Promotion>(
          [this, reactor, response](const absl::StatusOr<ModelManager::Promotion>& promotion) {
            if (promotion.ok()) {
              Fill(promotion->model, *response->mutable_model());
              response->set_previous_version(promotion->previous_version);
            }
            reactor->Finish(ToGrpcStatus(promotion.status()));
          }),
      [context] { return context->IsCancelled(); });
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::SetLabel(grpc::CallbackServerContext* context,
                                                 const v1::SetModelLabelRequest* request,
                                                 v1::SetModelLabelResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (request->remove()) {
    manager_.RemoveLabel(request->model(), request->label(), Answer(reactor, response));
  } else {
    manager_.SetLabel(request->model(), request->label(), request->traffic(),
                      Answer(reactor, response));
  }
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::Delete(grpc::CallbackServerContext* context,
                                               const v1::DeleteModelRequest* request,
                                               v1::DeleteModelResponse* /*response*/) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  manager_.Delete(request->model(),
                  Reply<ModelVersion>([reactor](const absl::StatusOr<ModelVersion>& deleted) {
                    reactor->Finish(ToGrpcStatus(deleted.status()));
                  }));
  return reactor;
}

}  // namespace atelier::server
