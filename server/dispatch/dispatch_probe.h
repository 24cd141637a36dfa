// What the dispatcher tells Prometheus: atelier_batch_size. Thread-safe.
#pragma once

#include <cstddef>

#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace atelier::server {

class DispatchProbe {
 public:
  // `registry` outlives the probe.
  explicit DispatchProbe(prometheus::Registry& registry);

  // So many pictures were given to a worker to be computed as one batch.
  void Dispatched(std::size_t batch_size);

 private:
  prometheus::Histogram& batch_size_;
};

}  // namespace atelier::server
