#include "server/dispatch/dispatch_probe.h"

namespace atelier::server {

DispatchProbe::DispatchProbe(prometheus::Registry& registry)
    : dispatched_(prometheus::BuildCounter()
                      .Name("atelier_dispatched_total")
                      .Help("Tasks given to workers, retries included.")
                      .Register(registry)
                      .Add({})),
      batch_size_(prometheus::BuildHistogram()
                      .Name("atelier_batch_size")
                      .Help("How many pictures were computed at once; counted for each request.")
                      .Register(registry)
                      .Add({}, prometheus::Histogram::BucketBoundaries{1, 2, 4, 8, 16, 32, 64})),
      breaker_state_(prometheus::BuildGauge()
                         .Name("atelier_worker_breaker_state")
                         .Help("Whether a worker gets work: 0 as usual, 1 one request at a time to "
                               "try it, 2 none for a while because it failed.")
                         .Register(registry)) {}

void DispatchProbe::Dispatched() { dispatched_.Increment(); }

void DispatchProbe::Done(std::size_t batch_size) {
  batch_size_.Observe(static_cast<double>(batch_size));
}

void DispatchProbe::Breaker(const std::string& worker, BreakerState state) {
  const absl::MutexLock lock(&mutex_);
  prometheus::Gauge*& gauge = breakers_[worker];
  if (gauge == nullptr) {
    gauge = &breaker_state_.Add({{"worker", worker}});
  }
  gauge->Set(static_cast<double>(state));
}

void DispatchProbe::NoBreaker(const std::string& worker) {
  const absl::MutexLock lock(&mutex_);
  if (auto gauge = breakers_.find(worker); gauge != breakers_.end()) {
    breaker_state_.Remove(gauge->second);
    breakers_.erase(gauge);
  }
}

}  // namespace atelier::server
