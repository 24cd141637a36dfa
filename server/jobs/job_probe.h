// The metrics of training jobs: atelier_jobs{state}, atelier_training_loss{job,loss},
// atelier_training_metric{job,metric}, atelier_training_images_per_second{job}.
#pragma once

#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "atelier/v1/training.pb.h"

namespace atelier::server {

// Thread-safe. Labels are bounded: only running jobs have series, each at most kMaxLosses losses
// and as many metrics.
class JobProbe {
 public:
  static constexpr std::size_t kMaxLosses = 24;

  // `registry` outlives the probe.
  explicit JobProbe(prometheus::Registry& registry);

  // States that are missing count 0.
  void SetCounts(const std::map<v1::JobState, std::uint64_t>& counts);
  void Progress(const std::string& job_id, const v1::JobProgress& progress);
  // Removes the job's series.
  void Ended(const std::string& job_id);

 private:
  using Gauges = std::map<std::string, prometheus::Gauge*>;
  struct Series {
    prometheus::Gauge* images_per_second = nullptr;
    Gauges losses;
    Gauges metrics;
  };

  // Sets a job's gauges of one family, of which new ones are added.
  static void SetAll(const google::protobuf::Map<std::string, double>& values,
                     const std::string& job_id, const std::string& label,
                     prometheus::Family<prometheus::Gauge>& family, Gauges& gauges);

  absl::Mutex mutex_;
  prometheus::Family<prometheus::Gauge>& jobs_;
  prometheus::Family<prometheus::Gauge>& loss_;
  prometheus::Family<prometheus::Gauge>& metric_;
  prometheus::Family<prometheus::Gauge>& images_per_second_;
  std::map<v1::JobState, prometheus::Gauge*> state_gauges_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Series> series_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
