// atelier.v1.StylizeService: decodes nothing, decides nothing; it joins admission, queue and reply.
#pragma once

#include "atelier/v1/stylize.grpc.pb.h"
#include "common/clock.h"
#include "server/admission/admission.h"
#include "server/queue/request_queue.h"
#include "server/rpc/call_probe.h"

namespace atelier::server {

// Thread-safe; never blocks.
class StylizeService final : public v1::StylizeService::CallbackService {
 public:
  // All outlive the service.
  StylizeService(const Admission& admission, RequestQueue& queue, CallProbe& probe, Clock& clock)
      : admission_(admission), queue_(queue), probe_(probe), clock_(clock) {}

  grpc::ServerUnaryReactor* Stylize(grpc::CallbackServerContext* context,
                                    const v1::StylizeRequest* request,
                                    v1::StylizeResponse* response) override;

 private:
  const Admission& admission_;
  RequestQueue& queue_;
  CallProbe& probe_;
  Clock& clock_;
};

}  // namespace atelier::server
