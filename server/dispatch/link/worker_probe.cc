#include "server/dispatch/link/worker_probe.h"

namespace atelier::server {
namespace {

prometheus::Family<prometheus::Gauge>& GaugeFamily(prometheus::Registry& registry, const char* name,
                                                   const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

}  // namespace

WorkerProbe::WorkerProbe(prometheus::Registry& registry, std::string server)
    : server_(std::move(server)),
      up_(GaugeFamily(registry, "atelier_worker_up", "1 for each connected worker.")),
      memory_bytes_(GaugeFamily(registry, "atelier_worker_memory_bytes",
                                "Resident memory of the worker's process.")),
      models_loaded_(
          GaugeFamily(registry, "atelier_worker_models_loaded", "Models in the worker's memory.")),
      models_bytes_(GaugeFamily(registry, "atelier_worker_models_bytes",
                                "Bytes of the weights in the worker's memory.")),
      device_memory_bytes_(
          GaugeFamily(registry, "atelier_device_memory_bytes",
                      "Memory of the worker's device in all. On a CPU, which has the machine's, "
                      "atelier_worker_memory_bytes is what the worker takes of it.")) {}

std::unique_ptr<WorkerProbe::Series> WorkerProbe::Add(const std::string& worker,
                                                      const std::string& device,
                                                      std::uint64_t device_memory_bytes) {
  const absl::MutexLock lock(&mutex_);
  auto [place, inserted] = gauges_.try_emplace({worker, device});
  Gauges& gauges = place->second;
  if (inserted) {
    const prometheus::Labels labels = {{"server", server_}, {"worker", worker}, {"device", device}};
    gauges = {.up = &up_.Add(labels),
              .memory_bytes = &memory_bytes_.Add(labels),
              .models_loaded = &models_loaded_.Add(labels),
              .models_bytes = &models_bytes_.Add(labels),
              .device_memory_bytes =
                  device_memory_bytes > 0 ? &device_memory_bytes_.Add(labels) : nullptr,
              .users = 0};
    gauges.up->Set(1);
    if (gauges.device_memory_bytes != nullptr) {
      gauges.device_memory_bytes->Set(static_cast<double>(device_memory_bytes));
    }
  }
  ++gauges.users;
  return std::unique_ptr<Series>(new Series(*this, place->first));
}

void WorkerProbe::Remove(const Series::Key& key) {
  const absl::MutexLock lock(&mutex_);
  auto place = gauges_.find(key);
  if (--place->second.users > 0) {
    return;
  }
  up_.Remove(place->second.up);
  memory_bytes_.Remove(place->second.memory_bytes);
  models_loaded_.Remove(place->second.models_loaded);
  models_bytes_.Remove(place->second.models_bytes);
  if (place->second.device_memory_bytes != nullptr) {
    device_memory_bytes_.Remove(place->second.device_memory_bytes);
  }
  gauges_.erase(place);
}

WorkerProbe::Series::~Series() { probe_.Remove(key_); }

void WorkerProbe::Series::Set(const internal::v1::WorkerFigures& figures) {
  const absl::MutexLock lock(&probe_.mutex_);
  const Gauges& gauges = probe_.gauges_.at(key_);
  gauges.memory_bytes->Set(static_cast<double>(figures.rss_bytes()));
  gauges.models_loaded->Set(figures.models_loaded());
  gauges.models_bytes->Set(static_cast<double>(figures.models_bytes()));
}

}  // namespace atelier::server
