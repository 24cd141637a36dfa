// atelier.v1.DatasetService.
#pragma once

#include "atelier/v1/datasets.grpc.pb.h"
#include "server/rpc/bounded_service.h"
#include "server/rpc/dataset_room.h"

namespace atelier::server {

// The messages of UploadDataset as bytes: message_bytes.h says why.
using RawDatasetService = BoundedService<
    v1::DatasetService,
    v1::DatasetService::WithRawCallbackMethod_UploadDataset<v1::DatasetService::CallbackService>>;

// Thread-safe. All calls read folders, and so run on the room's threads.
class DatasetService final : public RawDatasetService {
 public:
  // What `room` refers to outlives the service.
  explicit DatasetService(const DatasetRoom& room) : room_(room) {
    Bound(this, &DatasetService::ListDatasets, &DatasetService::GetDataset,
          &DatasetService::CreateDataset, &DatasetService::DeleteDataset,
          &DatasetService::GetUpload, &DatasetService::DeleteUpload,
          &DatasetService::ImportDataset);
  }

  grpc::ServerUnaryReactor* ListDatasets(grpc::CallbackServerContext* context,
                                         const v1::ListDatasetsRequest* request,
                                         v1::ListDatasetsResponse* response) override;
  grpc::ServerUnaryReactor* GetDataset(grpc::CallbackServerContext* context,
                                       const v1::GetDatasetRequest* request,
                                       v1::GetDatasetResponse* response) override;
  grpc::ServerUnaryReactor* CreateDataset(grpc::CallbackServerContext* context,
                                          const v1::CreateDatasetRequest* request,
                                          v1::Dataset* response) override;
  grpc::ServerUnaryReactor* DeleteDataset(grpc::CallbackServerContext* context,
                                          const v1::DeleteDatasetRequest* request,
                                          v1::DeleteDatasetResponse* response) override;
  grpc::ServerReadReactor<grpc::ByteBuffer>* UploadDataset(grpc::CallbackServerContext* context,
                                                           grpc::ByteBuffer* response) override;
  grpc::ServerUnaryReactor* GetUpload(grpc::CallbackServerContext* context,
                                      const v1::GetUploadRequest* request,
                                      v1::DatasetUpload* response) override;
  grpc::ServerUnaryReactor* DeleteUpload(grpc::CallbackServerContext* context,
                                         const v1::DeleteUploadRequest* request,
                                         v1::DeleteUploadResponse* response) override;
  grpc::ServerUnaryReactor* ImportDataset(grpc::CallbackServerContext* context,
                                          const v1::ImportDatasetRequest* request,
                                          v1::ImportDatasetResponse* response) override;

 private:
  absl::Status List(const v1::ListDatasetsRequest& request,
                    v1::ListDatasetsResponse& response) const;
  absl::Status Get(const v1::GetDatasetRequest& request, v1::GetDatasetResponse& response) const;
  absl::Status Create(const v1::CreateDatasetRequest& request, v1::Dataset& response) const;
  absl::Status Import(const v1::ImportDatasetRequest& request, const std::stop_token& stop,
                      v1::ImportDatasetResponse& response) const;

  const DatasetRoom room_;
};

}  // namespace atelier::server
