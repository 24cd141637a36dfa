// Prometheus series of connected workers, with labels server, worker and device. They vanish with
// the worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/registry.h"

namespace atelier::server {

// Thread-safe.
class WorkerProbe {
 public:
  // `server` names this server in the labels. `registry` outlives the probe, the probe outlives its
  // series.
  WorkerProbe(prometheus::Registry& registry, std::string server);

  // The series of one connection, as long as it lives. Two connections of equal name and device (a
  // worker that is back before its old connection was missed) share them.
  class Series {
   public:
    ~Series();
    Series(const Series&) = delete;
    Series& operator=(const Series&) = delete;
    void Set(const internal::v1::WorkerFigures& figures);

   private:
    friend class WorkerProbe;
    using Key = std::pair<std::string, std::string>;
    Series(WorkerProbe& probe, Key key) : probe_(probe), key_(std::move(key)) {}

    WorkerProbe& probe_;
    const Key key_;
  };

  // `device_memory_bytes`: what the worker's device has in all; 0 when the worker does not know it,
  // which leaves that series out.
  std::unique_ptr<Series> Add(const std::string& worker, const std::string& device,
                              std::uint64_t device_memory_bytes);

 private:
  struct Gauges {
    prometheus::Gauge* up;
    prometheus::Gauge* memory_bytes;
    prometheus::Gauge* models_loaded;
    prometheus::Gauge* models_bytes;
    prometheus::Gauge* device_memory_bytes;  // nullptr: not known
    std::size_t users;
  };

  void Remove(const Series::Key& key);

  const std::string server_;
  prometheus::Family<prometheus::Gauge>& up_;
  prometheus::Family<prometheus::Gauge>& memory_bytes_;
  prometheus::Family<prometheus::Gauge>& models_loaded_;
  prometheus::Family<prometheus::Gauge>& models_bytes_;
  prometheus::Family<prometheus::Gauge>& device_memory_bytes_;
  absl::Mutex mutex_;
  std::map<Series::Key, Gauges> gauges_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
