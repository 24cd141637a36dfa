// What a service whose calls the queue answers tells Prometheus: atelier_requests_total by method
// and code, atelier_<verb>_seconds by stage, and in atelier_rejections_total what admission refuses
// (the queue counts its own there). Thread-safe.
#pragma once

#include <array>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "prometheus/counter.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/queue/outcome_facts.h"

namespace atelier::server {

class CallProbe {
 public:
  // `method`: the RPC's name, a word of the program: "Stylize", "Generate".
  CallProbe(prometheus::Registry& registry, const std::string& method);

  // Every request, once, whatever became of it.
  void Answered(absl::StatusCode code);
  // Every request that admission refused with this error.
  void Refused(const absl::Status& error);
  // Every request that was answered with pictures, those from the response cache apart: where the
  // time of the others went says nothing about them.
  void Done(const OutcomeFacts& facts, absl::Duration total);
  void DoneFromCache(absl::Duration total);

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
  prometheus::Counter& bad_image_;
  prometheus::Counter& bad_field_;
  prometheus::Counter& unknown_model_;
  prometheus::Counter& other_;
};

}  // namespace atelier::server
