#include "server/jobs/job_probe.h"

#include "server/jobs/job_state.h"

namespace atelier::server {

JobProbe::JobProbe(prometheus::Registry& registry)
    : jobs_(prometheus::BuildGauge()
                .Name("atelier_jobs")
                .Help("Training jobs by state.")
                .Register(registry)),
      loss_(prometheus::BuildGauge()
                .Name("atelier_training_loss")
                .Help("The newest losses of each running job.")
                .Register(registry)),
      metric_(prometheus::BuildGauge()
                  .Name("atelier_training_metric")
                  .Help("The newest measurements of each running job that evaluates itself.")
                  .Register(registry)),
      images_per_second_(prometheus::BuildGauge()
                             .Name("atelier_training_images_per_second")
                             .Help("The training speed of each running job.")
                             .Register(registry)) {
  const absl::MutexLock lock(&mutex_);
  for (int state = v1::JobState_MIN + 1; state <= v1::JobState_MAX; ++state) {
    const auto job_state = static_cast<v1::JobState>(state);
    state_gauges_[job_state] = &jobs_.Add({{"state", std::string(StateName(job_state))}});
  }
}

void JobProbe::SetCounts(const std::map<v1::JobState, std::uint64_t>& counts) {
  const absl::MutexLock lock(&mutex_);
  for (const auto& [state, gauge] : state_gauges_) {
    const auto count = counts.find(state);
    gauge->Set(count == counts.end() ? 0 : static_cast<double>(count->second));
  }
}

void JobProbe::Progress(const std::string& job_id, const v1::JobProgress& progress) {
  const absl::MutexLock lock(&mutex_);
  Series& series = series_[job_id];
  if (series.images_per_second == nullptr) {
    series.images_per_second = &images_per_second_.Add({{"job", job_id}});
  }
  series.images_per_second->Set(progress.images_per_s());
  SetAll(progress.losses(), job_id, "loss", loss_, series.losses);
  SetAll(progress.metrics(), job_id, "metric", metric_, series.metrics);
}

void JobProbe::SetAll(const google::protobuf::Map<std::string, double>& values,
                      const std::string& job_id, const std::string& label,
                      prometheus::Family<prometheus::Gauge>& family, Gauges& gauges) {
  for (const auto& [name, value] : values) {
    prometheus::Gauge*& gauge = gauges[name];
    if (gauge == nullptr) {
      if (gauges.size() > kMaxLosses) {
        gauges.erase(name);
        continue;
      }
      gauge = &family.Add({{"job", job_id}, {label, name}});
    }
    gauge->Set(value);
  }
}

void JobProbe::Ended(const std::string& job_id) {
  const absl::MutexLock lock(&mutex_);
  const auto series = series_.find(job_id);
  if (series == series_.end()) {
    return;
  }
  images_per_second_.Remove(series->second.images_per_second);
  for (const auto& [name, gauge] : series->second.losses) {
    loss_.Remove(gauge);
  }
  for (const auto& [name, gauge] : series->second.metrics) {
    metric_.Remove(gauge);
  }
  series_.erase(series);
}

}  // namespace atelier::server
