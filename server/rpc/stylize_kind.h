// The calls of StylizeService, as QueuedCall wants them described.
#pragma once

#include <utility>

#include "atelier/v1/stylize.pb.h"
#include "common/rpc/picture_enums.h"
#include "server/queue/stylize_work.h"

namespace atelier::server {

struct StylizeKind {
  using Work = StylizeWork;
  using Outcome = StylizeOutcome;
  using Request = v1::StylizeRequest;
  using Response = v1::StylizeResponse;

  static void Announce(const StylizeWork& /*work*/, v1::StylizeResponse& /*response*/) {}

  static void Fill(StylizeOutcome outcome, bool cached, v1::StylizeResponse& response) {
    v1::StylizedImage& result = *response.add_results();
    result.set_image(std::move(outcome.image));
    result.set_format(ToProto(outcome.format));
    result.set_width(outcome.width);
    result.set_height(outcome.height);
    response.mutable_timings()->set_decode(outcome.decode_s);
    response.set_batch_size(outcome.batch_size);
    response.set_cached(cached);
  }
};

}  // namespace atelier::server
