// atelier.v1.DatasetService.
#pragma once

#include "atelier/v1/datasets.grpc.pb.h"
#include "server/datasets/dataset_catalog.h"

namespace atelier::server {

// Thread-safe. Reads folder listings.
class DatasetService final : public v1::DatasetService::CallbackService {
 public:
  // `datasets` outlives the service.
  explicit DatasetService(const DatasetCatalog& datasets) : datasets_(datasets) {}

  grpc::ServerUnaryReactor* ListDatasets(grpc::CallbackServerContext* context,
                                         const v1::ListDatasetsRequest* request,
                                         v1::ListDatasetsResponse* response) override;

 private:
  absl::Status List(const v1::ListDatasetsRequest& request,
                    v1::ListDatasetsResponse& response) const;

  const DatasetCatalog& datasets_;
};

}  // namespace atelier::server
