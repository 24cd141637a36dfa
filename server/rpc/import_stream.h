// The call behind ModelService.Import.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "server/rpc/transfer_room.h"

namespace atelier::server {

// Begins to read, on one of the room's threads. The reactor owns itself and ends with the call,
// which keeps a reference to `room`.
grpc::ServerReadReactor<grpc::ByteBuffer>* StartImport(const TransferRoom& room,
                                                       grpc::ByteBuffer& response);

}  // namespace atelier::server
