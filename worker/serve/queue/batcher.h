// Jobs that wait for the device, and which of them it takes together.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "worker/serve/queue/job.h"

namespace atelier::worker {

// Thread-safe; one thread takes.
//
// A dispatch is a job and those behind it that have the same key, up to the job's `max_size`. It is
// due when it is full, when its first job has waited `max_delay`, or when its first job goes alone.
// Of those that are due the one whose first job came first is taken, so that no model starves; one
// that still waits for company does not keep the device from others.
class Batcher {
 public:
  explicit Batcher(Clock& clock) : clock_(clock) {}

  // False: the job is cancelled and was not let in. See JobQueue::PushWanted.
  [[nodiscard]] bool Put(std::shared_ptr<Job> job) ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until a dispatch is due and takes it. Empty: the batcher is closed, and empty.
  Job::Batch Take() ABSL_LOCKS_EXCLUDED(mu_);

  // Takes out the job with this flag. Null: it is not here.
  std::shared_ptr<Job> Remove(const CancelFlag& flag) ABSL_LOCKS_EXCLUDED(mu_);

  std::size_t size() const ABSL_LOCKS_EXCLUDED(mu_);

  // Cancels those that wait, which are due from now on.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Waiting {
    std::shared_ptr<Job> job;
    absl::Time since;
  };

  // The first job of the dispatch that is due; end() without one, and `next` is when to look again.
  std::deque<Waiting>::iterator FindDue(absl::Time& next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Job::Batch TakeWith(std::deque<Waiting>::iterator first) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Clock& clock_;
  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  std::deque<Waiting> waiting_ ABSL_GUARDED_BY(mu_);  // the longest waiting first
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace atelier::worker
