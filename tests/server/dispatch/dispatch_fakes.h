// A worker as the dispatcher sees it.
#pragma once

#include <atomic>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/dispatch/worker_port.h"

namespace atelier::server::testing {

// Remembers what was sent, in order. Thread-safe.
class FakePort final : public WorkerPort {
 public:
  void SendTask(RequestId task, const Work&, absl::Time, std::atomic<bool>& sent) override {
    sent = true;
    const absl::MutexLock lock(&mutex_);
    tasks_.push_back(task);
  }
  void SendCancel(RequestId task) override {
    const absl::MutexLock lock(&mutex_);
    cancels_.push_back(task);
  }

  std::vector<RequestId> tasks() const {
    const absl::MutexLock lock(&mutex_);
    return tasks_;
  }
  std::vector<RequestId> cancels() const {
    const absl::MutexLock lock(&mutex_);
    return cancels_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<RequestId> tasks_ ABSL_GUARDED_BY(mutex_);
  std::vector<RequestId> cancels_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server::testing
