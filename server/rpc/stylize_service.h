// atelier.v1.StylizeService: decodes nothing, decides nothing; it joins admission, desk and reply.
#pragma once

#include "atelier/v1/stylize.grpc.pb.h"
#include "common/clock.h"
#include "server/admission/admission.h"
#include "server/desk/work_desk.h"
#include "server/rpc/call_probe.h"
#include "server/rpc/ordered_stream.h"

namespace atelier::server {

// Both calls as bytes: message_bytes.h says why.
using RawStylizeService = v1::StylizeService::WithRawCallbackMethod_Stylize<
    v1::StylizeService::WithRawCallbackMethod_StylizeStream<v1::StylizeService::Service>>;

// Thread-safe; never blocks.
class StylizeService final : public RawStylizeService {
 public:
  // All but the options outlive the service.
  StylizeService(const Admission& admission, WorkDesk& desk, CallProbe& probe, const Clock& clock,
                 const OrderedStreamOptions& stream_options = {})
      : admission_(admission),
        desk_(desk),
        probe_(probe),
        clock_(clock),
        stream_options_(stream_options) {}

  grpc::ServerUnaryReactor* Stylize(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request,
                                    grpc::ByteBuffer* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StylizeStream(
      grpc::CallbackServerContext* context) override;

 private:
  const Admission& admission_;
  WorkDesk& desk_;
  CallProbe& probe_;
  const Clock& clock_;
  const OrderedStreamOptions stream_options_;
};

}  // namespace atelier::server
