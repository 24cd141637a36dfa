// What the queue tells Prometheus. Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"
#include "server/queue/traits.h"

namespace atelier::server {

// The counter atelier_rejections_total of one reason, which is a word of the program, never of a
// caller.
prometheus::Counter& RejectionCounter(prometheus::Registry& registry, const char* reason);

enum class Rejection {
  kQueueFull,
  kBytesFull,
  kModelFull,
  kClientFull,
  kUnreachable,  // could not be ready before its deadline
  kStruck,       // has brought workers down
  kClosed,
  kLate,         // came after its deadline
  kNoWorker,     // no worker may take work
  kModelFailed,  // no worker can load its model
};
inline constexpr std::size_t kRejections = 10;

class QueueProbe {
 public:
  // Registers atelier_queue_depth, atelier_queue_bytes, atelier_rejections_total,
  // atelier_retries_total and atelier_strikes_total; `registry` outlives the probe.
  explicit QueueProbe(prometheus::Registry& registry);

  void Depth(Priority priority, std::size_t waiting);
  void Bytes(std::uint64_t bytes);
  void Rejected(Rejection reason);
  // A request goes to another worker: its first died, or could not do it.
  void Retried(bool died);
  void Struck();

 private:
  std::array<prometheus::Gauge*, kPriorities> depth_;
  prometheus::Gauge& bytes_;
  std::array<prometheus::Counter*, kRejections> rejections_;
  prometheus::Counter& lost_;
  prometheus::Counter& declined_;
  prometheus::Counter& strikes_;
};

}  // namespace atelier::server
