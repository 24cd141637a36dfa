// Jobs that wait for a thread of one stage.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "worker/serve/queue/job.h"

namespace atelier::worker {

// First in, first out. Thread-safe. As long as the credit that the link grants.
class JobQueue {
 public:
  void Push(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mu_);
  void PushFront(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mu_);

  // The same unless the job is cancelled, which is then false. A job that is cancelled before a
  // Remove which did not find it is never let in, so none waits here unnoticed.
  [[nodiscard]] bool PushWanted(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mu_);

  // Waits for a job and takes it out. Null: the queue is closed, and empty.
  std::shared_ptr<Job> Pop() ABSL_LOCKS_EXCLUDED(mu_);

  // The same, but the job stays.
  std::shared_ptr<Job> Front() ABSL_LOCKS_EXCLUDED(mu_);

  std::vector<std::shared_ptr<Job>> TakeIf(absl::FunctionRef<bool(const Job&)> wanted)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Takes out the job with this flag. Null: it is not here.
  std::shared_ptr<Job> Remove(const CancelFlag& flag) ABSL_LOCKS_EXCLUDED(mu_);

  // Cancels those that wait; they can still be taken.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  bool FilledOrClosed() const ABSL_SHARED_LOCKS_REQUIRED(mu_) { return closed_ || !jobs_.empty(); }

  absl::Mutex mu_;
  std::deque<std::shared_ptr<Job>> jobs_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace atelier::worker
