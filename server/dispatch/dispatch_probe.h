// What the dispatcher tells Prometheus: atelier_dispatched_total, atelier_batch_size,
// atelier_worker_breaker_state. Thread-safe.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace atelier::server {

// Of circuit_breaker.h; the numbers are the metric's.
enum class BreakerState { kClosed = 0, kHalfOpen = 1, kOpen = 2 };

class DispatchProbe {
 public:
  // `registry` outlives the probe.
  explicit DispatchProbe(prometheus::Registry& registry);

  // A task was given to a worker.
  void Dispatched();
  // A task came back done; so many pictures were computed together with its own, these included.
  void Done(std::size_t batch_size);
  // The state of the breaker of a worker, which has a series until NoBreaker.
  void Breaker(const std::string& worker, BreakerState state);
  void NoBreaker(const std::string& worker);

 private:
  prometheus::Counter& dispatched_;
  prometheus::Histogram& batch_size_;
  prometheus::Family<prometheus::Gauge>& breaker_state_;
  absl::Mutex mutex_;
  std::map<std::string, prometheus::Gauge*> breakers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
