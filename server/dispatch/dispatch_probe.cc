#include "server/dispatch/dispatch_probe.h"

namespace atelier::server {

DispatchProbe::DispatchProbe(prometheus::Registry& registry)
    : batch_size_(prometheus::BuildHistogram()
                      .Name("atelier_batch_size")
                      .Help("How many pictures workers are given to compute at once.")
                      .Register(registry)
                      .Add({}, prometheus::Histogram::BucketBoundaries{1, 2, 4, 8, 16, 32, 64})) {}

void DispatchProbe::Dispatched(std::size_t batch_size) {
  batch_size_.Observe(static_cast<double>(batch_size));
}

}  // namespace atelier::server
