#include "server/queue/queue_probe.h"

namespace atelier::server {
namespace {

prometheus::Gauge& PlainGauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
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
    : depth_(PlainGauge(registry, "atelier_queue_depth", "Requests that wait for a worker.")),
      bytes_(PlainGauge(registry, "atelier_queue_bytes",
                        "Bytes of the pictures of accepted requests that are not answered yet.")),
      queue_full_(RejectionCounter(registry, "queue_full")),
      bytes_full_(RejectionCounter(registry, "bytes_full")),
      closed_(RejectionCounter(registry, "unavailable")),
      late_(RejectionCounter(registry, "deadline")) {}

void QueueProbe::Depth(std::uint64_t waiting, std::uint64_t bytes_in_flight) {
  depth_.Set(static_cast<double>(waiting));
  bytes_.Set(static_cast<double>(bytes_in_flight));
}

void QueueProbe::Rejected(Rejection reason) {
  switch (reason) {
    case Rejection::kQueueFull:
      return queue_full_.Increment();
    case Rejection::kBytesFull:
      return bytes_full_.Increment();
    case Rejection::kClosed:
      return closed_.Increment();
    case Rejection::kLate:
      return late_.Increment();
  }
}

}  // namespace atelier::server
