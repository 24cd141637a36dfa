// Work for one thread, put in by others.
#pragma once

#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace atelier::server {

// Thread-safe.
class WorkList final {
 public:
  using Work = absl::AnyInvocable<void()>;

  explicit WorkList(Clock& clock) : clock_(clock) {}

  // Drops it when the list is closed.
  void Add(Work work) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      const absl::MutexLock lock(&mutex_);
      if (!closed_) {
        work_.push_back(std::move(work));
        changed_.SignalAll();
        return;
      }
    }
  }

  // What was put in since the last call; waits for it until `due`. Empty: nothing came, or the list
  // is closed.
  std::deque<Work> Take(absl::Time due) ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    while (work_.empty() && !closed_ && clock_.Now() < due) {
      clock_.WaitUntil(changed_, mutex_, due);
    }
    return std::exchange(work_, {});
  }

  // Drops what is in it; nothing can be put in any more.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::deque<Work> dropped;  // goes without the lock
    const absl::MutexLock lock(&mutex_);
    closed_ = true;
    dropped = std::exchange(work_, {});
    changed_.SignalAll();
  }

  bool closed() const ABSL_LOCKS_EXCLUDED(mutex_) {
    const absl::MutexLock lock(&mutex_);
    return closed_;
  }

 private:
  Clock& clock_;
  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  std::deque<Work> work_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace atelier::server
