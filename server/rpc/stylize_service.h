// atelier.v1.StylizeService: decodes nothing, decides nothing; it joins admission, queue and reply.
#pragma once

#include "absl/time/time.h"
#include "atelier/v1/stylize.grpc.pb.h"
#include "common/clock.h"
#include "server/admission/admission.h"
#include "server/queue/request_queue.h"
#include "server/rpc/stylize_probe.h"

namespace atelier::server {

// Thread-safe; never blocks.
class StylizeService final : public v1::StylizeService::CallbackService {
 public:
  // The deadline of callers that set none.
  static constexpr absl::Duration kDefaultDeadline = absl::Seconds(60);

  // All outlive the service.
  StylizeService(const Admission& admission, RequestQueue& queue, StylizeProbe& probe, Clock& clock)
      : admission_(admission), queue_(queue), probe_(probe), clock_(clock) {}

  grpc::ServerUnaryReactor* Stylize(grpc::CallbackServerContext* context,
                                    const v1::StylizeRequest* request,
                                    v1::StylizeResponse* response) override;

 private:
  const Admission& admission_;
  RequestQueue& queue_;
  StylizeProbe& probe_;
  Clock& clock_;
};

}  // namespace atelier::server
