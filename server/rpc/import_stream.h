// The call behind ModelService.Import.
#pragma once

#include "atelier/v1/models.grpc.pb.h"
#include "server/rpc/transfer_room.h"

namespace atelier::server {

// Begins to read, on one of the room's threads. The reactor owns itself and ends with the call,
// which keeps a reference to `room`.
grpc::ServerReadReactor<v1::ImportModelRequest>* StartImport(const TransferRoom& room,
                                                             v1::ImportModelResponse& response);

}  // namespace atelier::server
