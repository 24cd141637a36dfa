// atelier.v1.StylizeService.StylizeStream.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "atelier/v1/stylize.pb.h"
#include "common/clock.h"
#include "server/admission/admission.h"
#include "server/desk/work_desk.h"
#include "server/rpc/call_probe.h"
#include "server/rpc/ordered_stream.h"

namespace atelier::server {

// What a stream works with; all of it outlives the stream.
struct StylizeRoom {
  const Admission& admission;
  WorkDesk& desk;
  CallProbe& probe;
  const Clock& clock;
};

// gRPC owns what is returned.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartStylizeStream(
    const StylizeRoom& room, grpc::CallbackServerContext& context,
    const OrderedStreamOptions& options);

}  // namespace atelier::server
