// What calls that add to data sets tell Prometheus. Thread-safe.
//
//   atelier_dataset_transfers_total{kind="upload"|"import", code}   calls answered
//   atelier_dataset_pictures_added_total                            pictures that they added
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "prometheus/counter.h"
#include "prometheus/registry.h"

namespace atelier::server {

class DatasetProbe final {
 public:
  // `registry` outlives the probe.
  explicit DatasetProbe(prometheus::Registry& registry);

  // A call was answered, also one that was not taken.
  void Uploaded(absl::StatusCode code) { Of("upload", code).Increment(); }
  void Imported(absl::StatusCode code) { Of("import", code).Increment(); }
  void Added(std::uint64_t pictures) { pictures_.Increment(static_cast<double>(pictures)); }

 private:
  prometheus::Counter& Of(const char* kind, absl::StatusCode code);

  prometheus::Family<prometheus::Counter>& transfers_;
  prometheus::Counter& pictures_;
};

}  // namespace atelier::server
