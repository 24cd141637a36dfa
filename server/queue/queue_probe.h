// What the queue tells Prometheus. Thread-safe.
#pragma once

#include <cstdint>

#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"

namespace atelier::server {

// The counter atelier_rejections_total of one reason, which is a word of the program, never of a
// caller.
prometheus::Counter& RejectionCounter(prometheus::Registry& registry, const char* reason);

enum class Rejection { kQueueFull, kBytesFull, kClosed, kLate };

class QueueProbe {
 public:
  // Registers atelier_queue_depth, atelier_queue_bytes and atelier_rejections_total; `registry`
  // outlives the probe.
  explicit QueueProbe(prometheus::Registry& registry);

  void Depth(std::uint64_t waiting, std::uint64_t bytes_in_flight);
  void Rejected(Rejection reason);

 private:
  prometheus::Gauge& depth_;
  prometheus::Gauge& bytes_;
  prometheus::Counter& queue_full_;
  prometheus::Counter& bytes_full_;
  prometheus::Counter& closed_;
  prometheus::Counter& late_;
};

}  // namespace atelier::server
