#include "server/rpc/stylize_service.h"

#include "server/rpc/queued_call.h"
#include "server/rpc/stylize_kind.h"
#include "server/rpc/stylize_stream.h"

namespace atelier::server {

grpc::ServerUnaryReactor* StylizeService::Stylize(grpc::CallbackServerContext* context,
                                                  const grpc::ByteBuffer* request,
                                                  grpc::ByteBuffer* response) {
  return QueuedCall<StylizeKind>::Start(desk_, probe_, clock_, admission_, *context, *request,
                                        *response);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StylizeService::StylizeStream(
    grpc::CallbackServerContext* context) {
  return StartStylizeStream(
      {.admission = admission_, .desk = desk_, .probe = probe_, .clock = clock_}, *context,
      stream_options_);
}

}  // namespace atelier::server
