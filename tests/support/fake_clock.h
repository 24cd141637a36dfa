#pragma once

#include <algorithm>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace atelier::test {

// A clock that stands still until told to move. Advance wakes every waiter, which then looks at
// Now() again. Thread-safe.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time now = absl::FromUnixSeconds(1'700'000'000)) : now_(now) {}

  absl::Time Now() const override {
    const absl::MutexLock lock(&mutex_);
    return now_;
  }

  void WaitUntil(absl::CondVar& condition, absl::Mutex& mutex, absl::Time deadline) override {
    {
      const absl::MutexLock lock(&mutex_);
      if (now_ >= deadline) {
        return;
      }
      waiters_.push_back({&condition, &mutex});
    }
    // `mutex` is held since before the registration, so Advance cannot signal between the check
    // above and this wait.
    condition.Wait(&mutex);
    const absl::MutexLock lock(&mutex_);
    waiters_.erase(std::ranges::find(waiters_, &condition, &Waiter::condition));
  }

  // Whoever waits must outlive the call.
  void Advance(absl::Duration step) {
    std::vector<Waiter> waiters;
    {
      const absl::MutexLock lock(&mutex_);
      now_ += step;
      waiters = waiters_;
    }
    for (const Waiter& waiter : waiters) {
      const absl::MutexLock lock(waiter.mutex);
      waiter.condition->SignalAll();
    }
  }

 private:
  struct Waiter {
    absl::CondVar* condition;
    absl::Mutex* mutex;
  };

  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  std::vector<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::test
