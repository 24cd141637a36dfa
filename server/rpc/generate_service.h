// atelier.v1.GenerateService: decodes nothing, decides nothing; it joins admission, queue and
// reply.
#pragma once

#include "atelier/v1/generate.grpc.pb.h"
#include "common/clock.h"
#include "server/admission/generate_admission.h"
#include "server/queue/request_queue.h"
#include "server/rpc/call_probe.h"

namespace atelier::server {

// Thread-safe; never blocks.
class GenerateService final : public v1::GenerateService::CallbackService {
 public:
  // All outlive the service.
  GenerateService(const GenerateAdmission& admission, RequestQueue& queue, CallProbe& probe,
                  Clock& clock)
      : admission_(admission), queue_(queue), probe_(probe), clock_(clock) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const v1::GenerateRequest* request,
                                     v1::GenerateResponse* response) override;

 private:
  const GenerateAdmission& admission_;
  RequestQueue& queue_;
  CallProbe& probe_;
  Clock& clock_;
};

}  // namespace atelier::server
