#include "server/app/health_keeper.h"

#include <optional>
#include <utility>

namespace atelier::server {

HealthKeeper::HealthKeeper(Options options, const Dispatcher& dispatcher, RequestQueue& queue,
                           Clock& clock, std::function<void(const Health&)> report)
    : options_(options),
      dispatcher_(dispatcher),
      queue_(queue),
      clock_(clock),
      report_(std::move(report)) {
  report_(Health());
  watcher_ = std::thread([this] { Watch(); });
}

HealthKeeper::~HealthKeeper() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
    stopped_.SignalAll();
  }
  watcher_.join();
}

void HealthKeeper::BeginDrain() {
  const absl::MutexLock lock(&mutex_);
  health_.draining = true;
  report_(health_);
}

void HealthKeeper::RefuseWork() {
  const absl::MutexLock lock(&mutex_);
  queue_.Close(absl::UnavailableError("The server is stopping. Try another one, or later."));
}

HealthKeeper::Health HealthKeeper::health() const {
  const absl::MutexLock lock(&mutex_);
  return health_;
}

void HealthKeeper::Watch() {
  const absl::MutexLock lock(&mutex_);
  while (!stopping_) {
    Update();
    clock_.WaitUntil(stopped_, mutex_, clock_.Now() + options_.interval);
  }
}

void HealthKeeper::Update() {
  const std::optional<absl::Time> since = dispatcher_.without_workers_since();
  const bool has_workers = !since.has_value() || clock_.Now() - *since < options_.worker_grace;
  if (health_.draining || has_workers == health_.has_workers) {
    return;
  }
  health_.has_workers = has_workers;
  report_(health_);
  if (has_workers) {
    queue_.Open();
  } else {
    queue_.Close(
        absl::UnavailableError("No worker is there to restyle pictures. Try again later."));
  }
}

}  // namespace atelier::server
