// The call behind ModelService.Export.
#pragma once

#include "atelier/v1/models.grpc.pb.h"
#include "server/rpc/transfer_room.h"

namespace atelier::server {

// Begins on one of the room's threads. The reactor owns itself and ends with the call, which keeps
// a reference to `room` and to gRPC's context.
grpc::ServerWriteReactor<v1::ExportModelResponse>* StartExport(
    const TransferRoom& room, grpc::CallbackServerContext& context,
    const v1::ExportModelRequest& request);

}  // namespace atelier::server
