// atelier.v1.GenerateService: decodes nothing, decides nothing; it joins admission, desk and
// reply.
#pragma once

#include "atelier/v1/generate.grpc.pb.h"
#include "common/clock.h"
#include "server/admission/generate_admission.h"
#include "server/desk/work_desk.h"
#include "server/rpc/call_probe.h"

namespace atelier::server {

// Thread-safe; never blocks. As bytes: message_bytes.h says why.
class GenerateService final
    : public v1::GenerateService::WithRawCallbackMethod_Generate<v1::GenerateService::Service> {
 public:
  // All outlive the service.
  GenerateService(const GenerateAdmission& admission, WorkDesk& desk, CallProbe& probe,
                  const Clock& clock)
      : admission_(admission), desk_(desk), probe_(probe), clock_(clock) {}

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override;

 private:
  const GenerateAdmission& admission_;
  WorkDesk& desk_;
  CallProbe& probe_;
  const Clock& clock_;
};

}  // namespace atelier::server
