// Messages of calls whose bytes are read and written by us rather than by gRPC: within bounds of
// memory, and so that each is in memory once.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>

#include <utility>

#include "absl/status/status.h"

namespace atelier::server {

// A unary call's message, taken out of gRPC's hands, which would keep it until the call is over.
// gRPC shows it as const, but the object is not, and it does not look at it again.
inline grpc::ByteBuffer TakeMessage(const grpc::ByteBuffer& message) {
  grpc::ByteBuffer taken;
  taken.Swap(const_cast<grpc::ByteBuffer*>(&message));
  return taken;
}

// Whether unpacking `bytes` as a message of `type` stays within bounds of memory (wire_cost.h).
// INVALID_ARGUMENT: it does not, or they are no such message. Allocates nothing.
absl::Status CheckMessage(grpc::ByteBuffer& bytes, const google::protobuf::Descriptor& type);

// Reads `bytes` into the empty `message` and lets go of them. The errors of CheckMessage.
absl::Status ReadMessage(grpc::ByteBuffer& bytes, google::protobuf::Message& message);

// The bytes of `message`, as a message to send.
grpc::ByteBuffer BytesOfMessage(const google::protobuf::Message& message);

}  // namespace atelier::server
