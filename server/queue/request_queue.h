// Every accepted request, from acceptance to its one answer. What it accepts is bounded by count
// and by bytes, for all, for a model and for a client, and by what can be ready in time; three
// priorities, first in, first out within each; an entry expires at its deadline, whether it waits
// or is with a worker. The dispatcher pulls from here.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/queue/load_estimate.h"
#include "server/queue/outages.h"
#include "server/queue/queue_limits.h"
#include "server/queue/queue_probe.h"
#include "server/queue/queue_usage.h"
#include "server/queue/request.h"
#include "server/queue/strike_table.h"
#include "server/queue/waiting_lines.h"

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
  // What the dispatcher takes away.
  struct Assignment {
    RequestId id = 0;
    std::shared_ptr<const Work> work;
    absl::Time deadline;
    std::string model;  // "name@version"
    std::uint64_t fingerprint = 0;
    // Its worker must have nothing else in work until it is done: it was on a worker that died.
    bool alone = false;
  };

  // Why a dispatched request comes back.
  enum class Loss {
    kNotBegun,  // its worker never got it: nothing is held against anybody
    kDeclined,  // the worker said that it could not do it, or left
    kDied,      // the worker was lost with it; the next has nothing else in work
  };

  // `clock` and `probe` outlive the queue. Starts the thread that answers at deadlines.
  RequestQueue(QueueLimits limits, Clock& clock, QueueProbe& probe);
  // Answers what is left with UNAVAILABLE.
  ~RequestQueue();

  // Call before the first Enqueue; nullptr takes it away again. `listener` outlives its time here.
  void SetListener(QueueListener* listener);

  // From now on; what was accepted stays accepted.
  void SetLimits(QueueLimits limits);

  RequestId NextId() { return next_id_.fetch_add(1, std::memory_order_relaxed); }

  // How many tasks all workers work on at a time: what is measured of their speed follows it.
  void SetSlots(std::uint32_t slots);

  // Takes the request over, or leaves it with the caller on an error: RESOURCE_EXHAUSTED with a
  // retry delay when full, or when it would not be ready in time; UNAVAILABLE, with one too, while
  // no worker may take work before its deadline; why no worker can load its model;
  // FAILED_PRECONDITION when the same request has brought two workers down; the reason of Close;
  // DEADLINE_EXCEEDED when its deadline has passed.
  absl::Status Enqueue(std::unique_ptr<Request>& request);

  // OUT_OF_RANGE when so many requests of these traits, with so many bytes in all, are more than
  // may ever wait together: whoever needs all of them would try for ever.
  absl::Status CheckTogether(const RequestTraits& traits, std::size_t requests,
                             std::uint64_t bytes) const;

  // Whose turn it is, which becomes kDispatched; nullopt if none waits. One that is expected to
  // take longer than it has left goes out only when nothing else waits; otherwise it is answered at
  // its deadline. While answers that were not taken hold more than QueueLimits::max_bytes nothing
  // new goes out, or what is accepted could fill the memory with its answers; the listener hears
  // when that is over.
  std::optional<Assignment> TakeNext();

  // A dispatched request comes back, and goes before those that were with no worker yet. It is
  // answered UNAVAILABLE when it comes back from death for the second time, or was declined more
  // than Request::kMaxDeclined times; after two strikes FAILED_PRECONDITION. No effect on a request
  // that is answered already.
  void Requeue(RequestId id, Loss loss);

  // What cannot be served for a while: see Outages. They only take note; RefuseHopeless then
  // answers what waits and would be refused now, if there was anything new. Two calls, because
  // whoever knows of an outage may hold a lock that answers must not be given under.
  void SetNoWorker(std::optional<Outages::NoWorker> outage);
  void BlockModel(const std::string& model, absl::Status why, absl::Time until);
  void UnblockModel(const std::string& model);
  void UnblockModels();
  void RefuseHopeless();

  // A worker was lost that had only the request of this fingerprint in work. The second time within
  // ten minutes, equal requests that wait are answered FAILED_PRECONDITION, and others are refused.
  // Call before Requeue of the request itself.
  void Strike(std::uint64_t fingerprint);

  // Answers a dispatched request; DEADLINE_EXCEEDED instead when its deadline has passed. False
  // when it was answered before.
  bool Complete(RequestId id, absl::StatusOr<Outcome> outcome);

  // Answers CANCELLED in whatever state it is; no effect when answered already.
  void Cancel(RequestId id);

  // An answer of so many bytes that its client has not taken yet: they count as those of requests
  // do, until the release. Returns how long the client may take.
  absl::Duration HoldAnswer(const std::string& client, std::uint64_t bytes);
  void ReleaseAnswer(const std::string& client, std::uint64_t bytes);
  // Held answers cannot be taken before this one's: it goes out all the same. No effect on a
  // request that does not wait (any more).
  void Awaited(RequestId id);

  // From now on Enqueue refuses with `why`; what was accepted goes on.
  void Close(absl::Status why);

  // True when no request is unanswered, false when some still are at `until`.
  bool AwaitEmpty(absl::Time until);

  // Answers every request with `why`.
  void FailAll(const absl::Status& why);

  std::size_t waiting() const;
  // Whether requests of this model ("name@version") are not answered yet.
  bool Uses(const std::string& model) const;

 private:
  struct Entry {
    std::unique_ptr<Request> request;
    WaitingLines::Place place;  // while queued
    absl::Time accepted_at;
    absl::Duration work;                      // worker seconds, as estimated at acceptance
    std::optional<absl::Duration> estimated;  // from acceptance to the result; nullopt: not known
  };
  using Entries = std::map<RequestId, Entry>;

  // An answer that is owed once the lock is released.
  struct Answer {
    Request::Done done = nullptr;
    absl::StatusOr<Outcome> outcome;
    std::optional<RequestId> abandoned = std::nullopt;
  };

  absl::Status Admissible(const Request& request, std::optional<absl::Duration> ready_in,
                          absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes out, with its answer, every waiting request that `why` has one for.
  std::vector<Answer> TakeWaiting(
      absl::FunctionRef<std::optional<absl::Status>(const RequestTraits&, absl::Time)> why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status WithinLimits(const Request& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Refused(std::uint64_t fingerprint) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  LoadEstimate::Backlog BacklogNow() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Answers hold so much that nothing new goes out.
  bool HeldUp() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After each change of what HeldUp looks at; `before`: what it said before. Where a hold-up has
  // begun what waits loses its estimate: how long it takes then tells nothing of the workers. True
  // where one has ended, which the listener is to hear.
  bool HoldUpEnded(bool before) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of what may go out now.
  std::optional<RequestId> NextInTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeListener() ABSL_LOCKS_EXCLUDED(mutex_);
  Assignment Dispatch(Entry& entry, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A dispatched request waits again.
  void WaitAgain(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveWork(const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Answer Take(Entries::iterator entry, absl::StatusOr<Outcome> outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same of one that was not answered in time, which the estimate learns from.
  Answer GiveUp(Entries::iterator entry, const absl::Status& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Deliver(Answer answer) ABSL_LOCKS_EXCLUDED(mutex_);
  void ExpireLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Answer> TakeExpired(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Report(Priority changed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  QueueProbe& probe_;
  std::atomic<QueueListener*> listener_ = nullptr;
  std::atomic<RequestId> next_id_ = 1;

  mutable absl::Mutex mutex_;
  absl::CondVar emptied_;  // no request is unanswered
  absl::CondVar wake_;     // for the expirer: a deadline before wakes_at_, or the end
  QueueLimits limits_ ABSL_GUARDED_BY(mutex_);
  Entries entries_ ABSL_GUARDED_BY(mutex_);
  WaitingLines lines_ ABSL_GUARDED_BY(mutex_);
  WaitingLines::Length in_work_ ABSL_GUARDED_BY(mutex_);
  QueueUsage usage_ ABSL_GUARDED_BY(mutex_);
  std::set<RequestId> awaited_ ABSL_GUARDED_BY(mutex_);  // that wait, see Awaited
  LoadEstimate load_ ABSL_GUARDED_BY(mutex_);
  Outages outages_ ABSL_GUARDED_BY(mutex_);
  bool new_outage_ ABSL_GUARDED_BY(mutex_) = false;  // since RefuseHopeless
  StrikeTable strikes_ ABSL_GUARDED_BY(mutex_){StrikeTable::Options()};
  std::set<std::pair<absl::Time, RequestId>> deadlines_ ABSL_GUARDED_BY(mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);
  // Until when the expirer sleeps; the deadline that it woke for may be answered by then. Asking it
  // to look again for each request would cost each two switches of threads.
  absl::Time wakes_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread expirer_;
};

}  // namespace atelier::server
