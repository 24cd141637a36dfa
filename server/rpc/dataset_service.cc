#include "server/rpc/dataset_service.h"

#include <string>
#include <utility>

#include "common/names.h"
#include "common/status_macros.h"
#include "server/datasets/dataset_proto.h"
#include "server/rpc/paging.h"
#include "server/rpc/thread_call.h"
#include "server/rpc/upload_call.h"

namespace atelier::server {
namespace {

constexpr char kDatasetList[] = "datasets";

}  // namespace

grpc::ServerUnaryReactor* DatasetService::ListDatasets(grpc::CallbackServerContext* /*context*/,
                                                       const v1::ListDatasetsRequest* request,
                                                       v1::ListDatasetsResponse* response) {
  return StartReading(room_.readers,
                      [this, request, response] { return List(*request, *response); });
}

absl::Status DatasetService::List(const v1::ListDatasetsRequest& request,
                                  v1::ListDatasetsResponse& response) const {
  ATELIER_ASSIGN_OR_RETURN(const std::uint32_t size, PageSize(request.page_size()));
  ATELIER_ASSIGN_OR_RETURN(const std::string behind, PageKey(kDatasetList, request.page_token()));
  for (const Dataset& dataset : room_.catalog.List()) {
    if (dataset.name <= behind) {
      continue;
    }
    if (response.datasets_size() == static_cast<int>(size)) {
      response.set_next_page_token(
          PageToken(kDatasetList, response.datasets(response.datasets_size() - 1).name()));
      break;
    }
    *response.add_datasets() = ToProto(dataset);
  }
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* DatasetService::GetDataset(grpc::CallbackServerContext* /*context*/,
                                                     const v1::GetDatasetRequest* request,
                                                     v1::GetDatasetResponse* response) {
  if (!request->sample()) {
    return StartReading(room_.readers,
                        [this, request, response] { return Get(*request, *response); });
  }
  return StartThreadCall(
      room_.threads, [this, request, response](const std::stop_token& stop, EndCall end) {
        absl::Status status = Get(*request, *response);
        if (status.ok()) {
          absl::StatusOr<std::string> sample = room_.uploads.DrawSample(request->name(), stop);
          status = sample.status();
          response->set_sample(std::move(sample).value_or(""));
        }
        std::move(end)(status);
      });
}

absl::Status DatasetService::Get(const v1::GetDatasetRequest& request,
                                 v1::GetDatasetResponse& response) const {
  ATELIER_RETURN_IF_ERROR(CheckName("name", request.name()));
  ATELIER_ASSIGN_OR_RETURN(const Dataset dataset, room_.catalog.Find(request.name()));
  v1::Dataset& proto = *response.mutable_dataset();
  proto = ToProto(dataset);
  for (std::size_t i = 0; i < dataset.labels.size(); ++i) {
    v1::DatasetLabel& label = *proto.add_label_counts();
    label.set_label(dataset.labels[i]);
    label.set_files(dataset.label_files[i]);
  }
  for (v1::DatasetUpload& upload : room_.uploads.List(request.name())) {
    *response.add_uploads() = std::move(upload);
  }
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* DatasetService::CreateDataset(grpc::CallbackServerContext* /*context*/,
                                                        const v1::CreateDatasetRequest* request,
                                                        v1::Dataset* response) {
  return StartReading(room_.readers,
                      [this, request, response] { return Create(*request, *response); });
}

absl::Status DatasetService::Create(const v1::CreateDatasetRequest& request,
                                    v1::Dataset& response) const {
  ATELIER_ASSIGN_OR_RETURN(
      const Dataset dataset,
      room_.keeper.CreateSet(request.name(), {.license = request.license(),
                                              .source = request.source(),
                                              .description = request.description()}));
  response = ToProto(dataset);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* DatasetService::DeleteDataset(grpc::CallbackServerContext* /*context*/,
                                                        const v1::DeleteDatasetRequest* request,
                                                        v1::DeleteDatasetResponse* /*response*/) {
  return StartThreadCall(room_.threads,
                         [this, request](const std::stop_token& /*stop*/, EndCall end) {
                           std::move(end)(room_.uploads.DeleteSet(request->name()));
                         });
}

grpc::ServerReadReactor<grpc::ByteBuffer>* DatasetService::UploadDataset(
    grpc::CallbackServerContext* /*context*/, grpc::ByteBuffer* response) {
  return StartUpload(room_, *response);
}

grpc::ServerUnaryReactor* DatasetService::GetUpload(grpc::CallbackServerContext* /*context*/,
                                                    const v1::GetUploadRequest* request,
                                                    v1::DatasetUpload* response) {
  return StartReading(room_.readers, [this, request, response]() -> absl::Status {
    ATELIER_ASSIGN_OR_RETURN(*response,
                             room_.uploads.Get(request->dataset(), request->upload_id()));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* DatasetService::DeleteUpload(grpc::CallbackServerContext* /*context*/,
                                                       const v1::DeleteUploadRequest* request,
                                                       v1::DeleteUploadResponse* /*response*/) {
  return StartReading(room_.readers, [this, request] {
    return room_.uploads.Delete(request->dataset(), request->upload_id());
  });
}

grpc::ServerUnaryReactor* DatasetService::ImportDataset(grpc::CallbackServerContext* /*context*/,
                                                        const v1::ImportDatasetRequest* request,
                                                        v1::ImportDatasetResponse* response) {
  return StartThreadCall(room_.threads,
                         [this, request, response](const std::stop_token& stop, EndCall end) {
                           const absl::Status status = Import(*request, stop, *response);
                           room_.probe.Imported(status.code());
                           std::move(end)(status);
                         });
}

absl::Status DatasetService::Import(const v1::ImportDatasetRequest& request,
                                    const std::stop_token& stop,
                                    v1::ImportDatasetResponse& response) const {
  ATELIER_ASSIGN_OR_RETURN(const PictureGatherer::Result result,
                           room_.uploads.Import(request, stop));
  room_.probe.Added(result.report.added);
  *response.mutable_dataset() = ToProto(result.set);
  *response.mutable_result() = ToProto(result.report);
  return absl::OkStatus();
}

}  // namespace atelier::server
