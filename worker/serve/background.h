// A thread for work that nobody waits for.
#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace atelier::worker {

// Runs what it is given in order, at a lower priority than the process's other threads, as do the
// threads that this work starts in turn (OpenMP's). Thread-safe.
class Background {
 public:
  using Work = absl::AnyInvocable<void() &&>;

  // `at_start` runs first on the thread.
  explicit Background(std::function<void()> at_start);

  ~Background();

  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // Never blocks. Work that has not begun when the thread stops is dropped.
  void Post(Work work) ABSL_LOCKS_EXCLUDED(mu_);

  // Waits for the work that runs; the destructor does it too.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  bool WorkOrEnd() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return ending_ || !queue_.empty(); }

  absl::Mutex mu_;
  std::deque<Work> queue_ ABSL_GUARDED_BY(mu_);
  bool ending_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace atelier::worker
