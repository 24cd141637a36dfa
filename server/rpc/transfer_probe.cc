#include "server/rpc/transfer_probe.h"

namespace atelier::server {

TransferProbe::TransferProbe(prometheus::Registry& registry)
    : transfers_(prometheus::BuildCounter()
                     .Name("atelier_model_transfers_total")
                     .Help("Imports and exports of models answered, by direction and status code.")
                     .Register(registry)) {
  // There from the start, so that a rate can be told of the first one.
  for (const char* direction : {"import", "export"}) {
    Of(direction, absl::StatusCode::kOk);
  }
}

prometheus::Counter& TransferProbe::Of(const char* direction, absl::StatusCode code) {
  return transfers_.Add({{"direction", direction}, {"code", absl::StatusCodeToString(code)}});
}

}  // namespace atelier::server
