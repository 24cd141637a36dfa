#include "server/rpc/stylize_service.h"

#include <utility>

#include "common/rpc/picture_enums.h"
#include "server/rpc/queued_call.h"

namespace atelier::server {
namespace {

struct StylizeKind {
  using Work = StylizeWork;
  using Outcome = StylizeOutcome;
  using Response = v1::StylizeResponse;

  static void Announce(const StylizeWork& /*work*/, v1::StylizeResponse& /*response*/) {}

  static void Fill(StylizeOutcome outcome, v1::StylizeResponse& response) {
    v1::StylizedImage& result = *response.add_results();
    result.set_image(std::move(outcome.image));
    result.set_format(ToProto(outcome.format));
    result.set_width(outcome.width);
    result.set_height(outcome.height);
    response.mutable_timings()->set_decode(outcome.decode_s);
  }
};

}  // namespace

grpc::ServerUnaryReactor* StylizeService::Stylize(grpc::CallbackServerContext* context,
                                                  const v1::StylizeRequest* request,
                                                  v1::StylizeResponse* response) {
  return QueuedCall<StylizeKind>::Start(queue_, probe_, clock_, *context,
                                        admission_.Admit(*request), *response);
}

}  // namespace atelier::server
