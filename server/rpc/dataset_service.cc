#include "server/rpc/dataset_service.h"

#include "common/rpc/grpc_status.h"
#include "common/status_macros.h"
#include "server/rpc/paging.h"

namespace atelier::server {
namespace {

constexpr char kList[] = "datasets";

}  // namespace

grpc::ServerUnaryReactor* DatasetService::ListDatasets(grpc::CallbackServerContext* context,
                                                       const v1::ListDatasetsRequest* request,
                                                       v1::ListDatasetsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(List(*request, *response)));
  return reactor;
}

absl::Status DatasetService::List(const v1::ListDatasetsRequest& request,
                                  v1::ListDatasetsResponse& response) const {
  ATELIER_ASSIGN_OR_RETURN(const std::uint32_t size, PageSize(request.page_size()));
  ATELIER_ASSIGN_OR_RETURN(const std::string behind, PageKey(kList, request.page_token()));
  for (const Dataset& dataset : datasets_.List()) {
    if (dataset.name <= behind) {
      continue;
    }
    if (response.datasets_size() == static_cast<int>(size)) {
      response.set_next_page_token(
          PageToken(kList, response.datasets(response.datasets_size() - 1).name()));
      break;
    }
    v1::Dataset& proto = *response.add_datasets();
    proto.set_name(dataset.name);
    proto.set_files(dataset.files);
    proto.set_bytes(dataset.bytes);
    for (const std::string& label : dataset.labels) {
      proto.add_labels(label);
    }
  }
  return absl::OkStatus();
}

}  // namespace atelier::server
