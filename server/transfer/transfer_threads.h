// Threads for the calls that carry files: these wait for clients, disks and conversions, which a
// reaction of gRPC must not.
#pragma once

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
  // `count`: how many calls there can be at a time; `busy` says what these do. `clock` outlives the
  // object.
  TransferThreads(int count, Clock& clock,
                  std::string busy = "models are imported, exported or measured");
  // Waits for the calls under way.
  ~TransferThreads();

  // Runs `work` on a thread that has nothing to do. RESOURCE_EXHAUSTED with a retry delay: there is
  // none. UNAVAILABLE: closed.
  absl::Status Run(std::function<void()> work);

  // Nothing is taken any more; what runs goes on.
  void Close();
  // Waits until nothing runs; false when `until` passes first.
  bool AwaitIdle(absl::Time until);

 private:
  void Work();

  const int count_;
  Clock& clock_;
  const std::string busy_;
  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::vector<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  int running_ ABSL_GUARDED_BY(mutex_) = 0;  // and waiting
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace atelier::server
