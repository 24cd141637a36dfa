// Decides whether this server can serve, and keeps those informed who tell it: the health service
// and /readyz.
#pragma once

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/dispatch/dispatcher.h"

namespace atelier::server {

// Thread-safe.
class HealthKeeper {
 public:
  struct Health {
    bool draining = false;
    bool has_workers = true;  // or had one within the grace

    bool serving() const { return !draining && has_workers; }
    bool operator==(const Health&) const = default;
  };

  static constexpr absl::Duration kInterval = absl::Milliseconds(200);

  // `report` is told the first health at once and every change; it must not block. All outlive the
  // keeper.
  HealthKeeper(const Dispatcher& dispatcher, Clock& clock,
               std::function<void(const Health&)> report);
  ~HealthKeeper();

  // For good: reports not serving. The queue goes on taking requests, if it did, so that those who
  // have not heard it yet are still served.
  void BeginDrain();

  Health health() const;

 private:
  void Watch() ABSL_LOCKS_EXCLUDED(mutex_);
  void Update() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Dispatcher& dispatcher_;
  Clock& clock_;
  const std::function<void(const Health&)> report_;

  mutable absl::Mutex mutex_;
  absl::CondVar stopped_;
  Health health_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread watcher_;
};

}  // namespace atelier::server
