#include "server/app/health_keeper.h"

#include <utility>

namespace atelier::server {

HealthKeeper::HealthKeeper(const Dispatcher& dispatcher, Clock& clock,
                           std::function<void(const Health&)> report)
    : dispatcher_(dispatcher), clock_(clock), report_(std::move(report)) {
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

HealthKeeper::Health HealthKeeper::health() const {
  const absl::MutexLock lock(&mutex_);
  return health_;
}

void HealthKeeper::Watch() {
  const absl::MutexLock lock(&mutex_);
  while (!stopping_) {
    Update();
    clock_.WaitUntil(stopped_, mutex_, clock_.Now() + kInterval);
  }
}

void HealthKeeper::Update() {
  const bool has_workers = dispatcher_.may_serve();
  if (health_.draining || has_workers == health_.has_workers) {
    return;
  }
  health_.has_workers = has_workers;
  report_(health_);
}

}  // namespace atelier::server
