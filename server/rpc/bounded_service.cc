#include "server/rpc/bounded_service.h"

namespace atelier::server {
namespace {

// gRPC begins a call on one thread, with RunHandler calling the service's method before it returns.
thread_local const grpc::Status* current_refusal = nullptr;

// What is sent in place of a refused message.
grpc_byte_buffer* EmptyMessage() { return grpc_raw_byte_buffer_create(nullptr, 0); }

}  // namespace

void* BoundedHandler::Deserialize(grpc_call* call, grpc_byte_buffer* message, grpc::Status* status,
                                  void** data) {
  if (message == nullptr) {
    return inner_->Deserialize(call, message, status, data);
  }
  grpc::ByteBuffer bytes;
  grpc::internal::UnaryDeserializeHelper(message, status, &bytes);
  if (const absl::Status cost = CheckMessage(bytes, request_); !cost.ok()) {
    bytes.Clear();
    void* const empty = inner_->Deserialize(call, EmptyMessage(), status, data);
    *status = ToGrpcStatus(cost);
    return empty;
  }
  bytes.Release();
  return inner_->Deserialize(call, message, status, data);
}

void BoundedHandler::RunHandler(const HandlerParameter& parameter) {
  const grpc::Status* const before = current_refusal;
  current_refusal = parameter.status.ok() ? nullptr : &parameter.status;
  inner_->RunHandler(HandlerParameter(parameter.call, parameter.server_context, parameter.request,
                                      grpc::Status::OK, parameter.internal_data,
                                      parameter.call_requester));
  current_refusal = before;
}

const grpc::Status* BoundedHandler::Refusal() { return current_refusal; }

}  // namespace atelier::server
