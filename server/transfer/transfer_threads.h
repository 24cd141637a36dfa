// Threads for calls that wait for clients, disks and conversions, which a reaction of gRPC must
// not.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace atelier::server {

// Thread-safe.
class TransferThreads final {
 public:
  // `count`: how many calls run at a time; `waiting`: how many more may wait for a thread, the
  // first in front; `busy` says what they do. `clock` outlives the object.
  TransferThreads(int count, Clock& clock,
                  std::string busy = "models are imported, exported or measured", int waiting = 0);
  // Waits for the calls under way.
  ~TransferThreads();

  // Runs `work` on the next thread that has nothing to do. RESOURCE_EXHAUSTED with a retry delay:
  // as many as there may be run and wait. UNAVAILABLE: closed.
  absl::Status Run(std::function<void()> work);

  // Nothing is taken any more; what runs goes on.
  void Close();
  // Waits until nothing runs; false when `until` passes first.
  bool AwaitIdle(absl::Time until);

 private:
  void Work();

  const int most_;  // that run and wait
  Clock& clock_;
  const std::string busy_;
  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  int running_ ABSL_GUARDED_BY(mutex_) = 0;  // and waiting
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace atelier::server
