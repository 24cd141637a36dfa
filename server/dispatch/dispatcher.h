// Hands waiting requests to serving workers: to the least loaded one, never more than the credit it
// has granted, and again, once, when a worker is lost. Holds no request itself; the queue owns
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/dispatch/dispatch_probe.h"
#include "server/dispatch/worker_port.h"
#include "server/queue/request_queue.h"

namespace atelier::server {

using WorkerId = std::uint64_t;

// Thread-safe, never blocks. Lock order: dispatcher, then queue or port; answers are given without
// the dispatcher's lock.
class Dispatcher final : public QueueListener {
 public:
  // All outlive the dispatcher, which listens to `queue` until it is destroyed.
  Dispatcher(RequestQueue& queue, Clock& clock, DispatchProbe& probe);
  ~Dispatcher() override;

  // `slots`: how many tasks it works on at a time, at least 1. The worker gets work once it has
  // granted credit.
  void AddWorker(WorkerId id, std::uint32_t slots, std::shared_ptr<WorkerPort> port);

  // FAILED_PRECONDITION when the worker grants more than kMaxCredit in all: it does not follow the
  // protocol.
  absl::Status AddCredit(WorkerId id, std::uint32_t tasks);

  // The result of `task`; a late one, of a request that was cancelled or has expired, is dropped.
  // UNAVAILABLE and CANCELLED mean that the worker could not do it, and count as its loss.
  // FAILED_PRECONDITION when the worker does not hold this task, or answers another question than
  // the task asks; the task then stays with it until RemoveWorker.
  absl::Status OnResult(WorkerId id, RequestId task, absl::StatusOr<Outcome> outcome);

  // Its tasks go back to the front of the queue. No effect when it is unknown.
  void RemoveWorker(WorkerId id);

  // Since when there has been no serving worker; nullopt when there is one.
  std::optional<absl::Time> without_workers_since() const;

  void WorkArrived() override;
  void Abandoned(RequestId id) override;

  static constexpr std::uint32_t kMaxCredit = 1024;

 private:
  struct Worker {
    std::shared_ptr<WorkerPort> port;
    std::uint32_t slots = 1;
    std::uint32_t credit = 0;
    std::map<RequestId, std::shared_ptr<const Work>> in_work;
    std::set<RequestId> abandoned;  // in work there, but nobody waits any more
    std::uint64_t last_picked = 0;  // equal load: the one that has waited longest

    double load() const { return static_cast<double>(in_work.size() + abandoned.size()) / slots; }
  };

  // Assigns while there are both work and credit.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  Worker* LeastLoaded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  RequestQueue& queue_;
  Clock& clock_;
  DispatchProbe& probe_;
  mutable absl::Mutex mutex_;
  std::map<WorkerId, Worker> workers_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t picks_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time absent_since_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
