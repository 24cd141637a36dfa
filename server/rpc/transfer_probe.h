// What imports and exports tell Prometheus: atelier_model_transfers_total by direction and code.
// Thread-safe.
#pragma once

#include "absl/status/status.h"
#include "prometheus/counter.h"
#include "prometheus/registry.h"

namespace atelier::server {

class TransferProbe {
 public:
  // `registry` outlives the probe.
  explicit TransferProbe(prometheus::Registry& registry);

  // A call was answered, also one that was not taken.
  void Imported(absl::StatusCode code) { Of("import", code).Increment(); }
  void Exported(absl::StatusCode code) { Of("export", code).Increment(); }

 private:
  prometheus::Counter& Of(const char* direction, absl::StatusCode code);

  prometheus::Family<prometheus::Counter>& transfers_;
};

}  // namespace atelier::server
