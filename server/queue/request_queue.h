// Every accepted request, from acceptance to its one answer. First in, first out; bounded by count
// and by bytes; each entry expires at its deadline, whether it waits or is with a worker. The
// dispatcher pulls from here.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/queue/queue_probe.h"
#include "server/queue/request.h"

namespace atelier::server {

// Told about changes that matter to whoever hands work to workers. Called without the queue's lock,
// from any thread.
class QueueListener {
 public:
  virtual ~QueueListener() = default;
  // Something is waiting that was not before.
  virtual void WorkArrived() = 0;
  // A dispatched request was cancelled or has expired: its result is no longer wanted.
  virtual void Abandoned(RequestId id) = 0;
};

// Thread-safe; nothing blocks but AwaitEmpty. Answers are given without the queue's lock.
class RequestQueue {
 public:
  struct Options {
    std::size_t max_waiting = 256;           // requests that wait for a worker
    std::uint64_t max_bytes = 256ULL << 20;  // pictures of all unanswered requests
  };

  // What the dispatcher takes away.
  struct Assignment {
    RequestId id = 0;
    std::shared_ptr<const Work> work;
    absl::Time deadline;
  };

  // `clock` and `probe` outlive the queue. Starts the thread that answers at deadlines.
  RequestQueue(Options options, Clock& clock, QueueProbe& probe);
  // Answers what is left with UNAVAILABLE.
  ~RequestQueue();

  // Call before the first Enqueue; nullptr takes it away again. `listener` outlives its time here.
  void SetListener(QueueListener* listener);

  RequestId NextId() { return next_id_.fetch_add(1, std::memory_order_relaxed); }

  // Takes the request over, or leaves it with the caller on an error: RESOURCE_EXHAUSTED with a
  // retry delay when full; the reason of Close; DEADLINE_EXCEEDED when its deadline has passed.
  absl::Status Enqueue(std::unique_ptr<Request>& request);

  // The longest waiting request, which becomes kDispatched; nullopt if none waits.
  std::optional<Assignment> TakeNext();

  // The worker of a dispatched request was lost: the first time it goes back to the front of the
  // queue, the second time it is answered UNAVAILABLE. No effect on a request that is answered
  // already.
  void Requeue(RequestId id);

  // Answers a dispatched request; DEADLINE_EXCEEDED instead when its deadline has passed. False
  // when it was answered before.
  bool Complete(RequestId id, absl::StatusOr<Outcome> outcome);

  // Answers CANCELLED in whatever state it is; no effect when answered already.
  void Cancel(RequestId id);

  // From now on Enqueue refuses with `why`; what was accepted goes on.
  void Close(absl::Status why);
  void Open();

  // True when no request is unanswered, false when some still are at `until`.
  bool AwaitEmpty(absl::Time until);

  // Answers every request with `why`.
  void FailAll(const absl::Status& why);

  std::size_t waiting() const;

 private:
  struct Entry {
    std::unique_ptr<Request> request;
    std::int64_t position = 0;  // key in waiting_ while queued
    absl::Time accepted_at;
  };
  using Entries = std::map<RequestId, Entry>;

  // An answer that is owed once the lock is released.
  struct Answer {
    Request::Done done;
    absl::StatusOr<Outcome> outcome;
    std::optional<RequestId> abandoned;
  };

  absl::Status Admissible(const Request& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration RetryDelay() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Answer Take(Entries::iterator entry, absl::StatusOr<Outcome> outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Deliver(Answer answer) ABSL_LOCKS_EXCLUDED(mutex_);
  void ExpireLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Answer> TakeExpired(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Report() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  Clock& clock_;
  QueueProbe& probe_;
  std::atomic<QueueListener*> listener_ = nullptr;
  std::atomic<RequestId> next_id_ = 1;

  mutable absl::Mutex mutex_;
  absl::CondVar changed_;  // a new earliest deadline, the last answer, or the end
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  std::map<std::int64_t, RequestId> waiting_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<absl::Time, RequestId>> deadlines_ ABSL_GUARDED_BY(mutex_);
  std::int64_t front_ ABSL_GUARDED_BY(mutex_) = 0;  // positions: the front grows downwards
  std::int64_t back_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
  // Moving average of the time from dispatch to result. Unit: seconds.
  double service_s_ ABSL_GUARDED_BY(mutex_) = 1.0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread expirer_;
};

}  // namespace atelier::server
