// What the stylize service tells Prometheus: atelier_requests_total by code,
// atelier_stylize_seconds by stage. Thread-safe.
#pragma once

#include <array>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "prometheus/counter.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/queue/stylize_work.h"

namespace atelier::server {

class StylizeProbe {
 public:
  explicit StylizeProbe(prometheus::Registry& registry);

  // Every request, once, whatever became of it.
  void Answered(absl::StatusCode code);
  // Every request that was restyled.
  void Restyled(const StylizeOutcome& outcome, absl::Duration total);

 private:
  static constexpr std::size_t kCodes = 17;  // 0 to 16, the codes of gRPC

  prometheus::Histogram& Stage(const char* name);

  prometheus::Family<prometheus::Histogram>& seconds_;
  prometheus::Histogram& queue_;
  prometheus::Histogram& decode_;
  prometheus::Histogram& load_;
  prometheus::Histogram& compute_;
  prometheus::Histogram& encode_;
  prometheus::Histogram& total_;
  std::array<prometheus::Counter*, kCodes> answered_;
};

}  // namespace atelier::server
