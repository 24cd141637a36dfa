// The call behind DatasetService.UploadDataset.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/rpc/dataset_room.h"

namespace atelier::server {

// Begins on one of the room's threads. The reactor owns itself and ends with the call, which keeps
// a reference to `room`.
grpc::ServerReadReactor<grpc::ByteBuffer>* StartUpload(const DatasetRoom& room,
                                                       grpc::ByteBuffer& response);

}  // namespace atelier::server
