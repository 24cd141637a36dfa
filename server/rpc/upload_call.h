// The call behind DatasetService.UploadDataset.
#pragma once

#include "atelier/v1/datasets.grpc.pb.h"
#include "server/rpc/dataset_room.h"

namespace atelier::server {

// Begins on one of the room's threads. The reactor owns itself and ends with the call, which keeps
// a reference to `room`.
grpc::ServerReadReactor<v1::UploadDatasetRequest>* StartUpload(const DatasetRoom& room,
                                                               v1::UploadDatasetResponse& response);

}  // namespace atelier::server
