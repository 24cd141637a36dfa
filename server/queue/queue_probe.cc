#include "server/queue/queue_probe.h"

namespace atelier::server {
namespace {

prometheus::Gauge& DepthGauge(prometheus::Registry& registry, const char* priority) {
  return prometheus::BuildGauge()
      .Name("atelier_queue_depth")
      .Help("Requests that wait for a worker, by priority.")
      .Register(registry)
      .Add({{"priority", priority}});
}

prometheus::Gauge& BytesGauge(prometheus::Registry& registry) {
  return prometheus::BuildGauge()
      .Name("atelier_queue_bytes")
      .Help(
          "Bytes of the pictures of accepted requests that are not answered yet, and of answers "
          "that their clients have not taken yet.")
      .Register(registry)
      .Add({});
}

prometheus::Counter& RetryCounter(prometheus::Registry& registry, const char* reason) {
  return prometheus::BuildCounter()
      .Name("atelier_retries_total")
      .Help(
          "Requests given to a second worker: the first was lost, or said that it could not do "
          "it.")
      .Register(registry)
      .Add({{"reason", reason}});
}

prometheus::Counter& StrikeCounter(prometheus::Registry& registry) {
  return prometheus::BuildCounter()
      .Name("atelier_strikes_total")
      .Help("Workers lost while they worked on one request alone.")
      .Register(registry)
      .Add({});
}

}  // namespace

prometheus::Counter& RejectionCounter(prometheus::Registry& registry, const char* reason) {
  return prometheus::BuildCounter()
      .Name("atelier_rejections_total")
      .Help("Requests for pictures refused before they were queued, by reason.")
      .Register(registry)
      .Add({{"reason", reason}});
}

QueueProbe::QueueProbe(prometheus::Registry& registry)
    // In the order of the enums.
    : depth_{&DepthGauge(registry, "high"), &DepthGauge(registry, "normal"),
             &DepthGauge(registry, "low")},
      bytes_(BytesGauge(registry)),
      rejections_{&RejectionCounter(registry, "queue_full"),
                  &RejectionCounter(registry, "bytes_full"),
                  &RejectionCounter(registry, "model_full"),
                  &RejectionCounter(registry, "client_full"),
                  &RejectionCounter(registry, "deadline_unreachable"),
                  &RejectionCounter(registry, "struck"),
                  &RejectionCounter(registry, "unavailable"),
                  &RejectionCounter(registry, "deadline"),
                  &RejectionCounter(registry, "no_worker"),
                  &RejectionCounter(registry, "model_failed")},
      lost_(RetryCounter(registry, "lost")),
      declined_(RetryCounter(registry, "declined")),
      strikes_(StrikeCounter(registry)) {}

void QueueProbe::Depth(Priority priority, std::size_t waiting) {
  depth_.at(static_cast<std::size_t>(priority))->Set(static_cast<double>(waiting));
}

void QueueProbe::Bytes(std::uint64_t bytes) { bytes_.Set(static_cast<double>(bytes)); }

void QueueProbe::Rejected(Rejection reason) {
  rejections_.at(static_cast<std::size_t>(reason))->Increment();
}

void QueueProbe::Retried(bool died) { (died ? lost_ : declined_).Increment(); }

void QueueProbe::Struck() { strikes_.Increment(); }

}  // namespace atelier::server
