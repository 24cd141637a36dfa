// Hands waiting requests to serving workers: to the least loaded one that has the model (see
// serving_worker.h), never more than the credit it has granted, and again, once, when a worker is
// lost. A worker that keeps failing gets none for a while (see circuit_breaker.h), and none of a
// model that it cannot load (see model_faults.h). When no worker may take any work, or none can
// load a model, the queue is told so and refuses (see queue/outages.h). Holds no request itself;
// the queue owns them.
//
// A request that was on a worker that died may have been the cause. It goes on alone: its worker
// has nothing else in work until it is done. If that worker dies too, nobody else can have been the
// cause, and the request gets a strike (see queue/strike_table.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/dispatch/circuit_breaker.h"
#include "server/dispatch/dispatch_probe.h"
#include "server/dispatch/serving_worker.h"
#include "server/dispatch/worker_port.h"
#include "server/queue/request_queue.h"

namespace atelier::server {

using WorkerId = std::uint64_t;

enum class WorkerEnd {
  kLeft,  // it said good-bye: what it still had is no fault of anybody
  kLost,  // it died, hung or answered nonsense
};

// Thread-safe, never blocks. Lock order: dispatcher, then queue or port; answers are given without
// the dispatcher's lock. Has a thread that wakes when a worker may be tried again, and when
// requests have waited long enough for one to come.
class Dispatcher final : public QueueListener {
 public:
  // All outlive the dispatcher, which listens to `queue` until it is destroyed. `worker_grace`: how
  // long requests wait for a worker to come (back) before they are refused.
  Dispatcher(RequestQueue& queue, Clock& clock, DispatchProbe& probe,
             absl::Duration worker_grace = absl::Seconds(30));
  ~Dispatcher() override;

  // `slots`: how many tasks it works on at a time, at least 1. The worker gets work, and counts as
  // a serving one, once it has granted credit: before, it loads what is kept in memory. `name`: of
  // the worker, the same whenever it comes back.
  void AddWorker(WorkerId id, std::uint32_t slots, std::shared_ptr<WorkerPort> port,
                 std::string name);

  // The worker has the weights of this SHA-256 in memory, or has no longer.
  void OnModelState(WorkerId id, const std::string& weights_sha256, bool loaded);

  // FAILED_PRECONDITION when the worker grants more than kMaxCredit in all: it does not follow the
  // protocol.
  absl::Status AddCredit(WorkerId id, std::uint32_t tasks);

  // The result of `task`; a late one, of a request that was cancelled or has expired, is dropped.
  // UNAVAILABLE and CANCELLED mean that the worker could not do it: another gets it, as does one
  // that another can load the model for (queue/load_failure.h).
  // FAILED_PRECONDITION when the worker does not hold this task, or answers another question than
  // the task asks; the task then stays with it until RemoveWorker. `credit`: what the worker grants
  // with it, as AddCredit does.
  absl::Status OnResult(WorkerId id, RequestId task, absl::StatusOr<Outcome> outcome,
                        std::uint32_t credit = 0);

  // Its tasks go back to the front of the queue. No effect when it is unknown.
  void RemoveWorker(WorkerId id, WorkerEnd end = WorkerEnd::kLost);

  // Since when no worker has served, that is granted credit; nullopt when one does.
  std::optional<absl::Time> without_workers_since() const;
  // A worker serves, or one did within the grace.
  bool may_serve() const;

  void WorkArrived() override;
  void Abandoned(RequestId id) override;

  static constexpr std::uint32_t kMaxCredit = 1024;

 private:
  // A task that is its worker's already and must still be sent.
  struct Outgoing {
    std::shared_ptr<WorkerPort> port;
    RequestId id = 0;
    std::shared_ptr<const Work> work;
    absl::Time deadline;
    std::shared_ptr<std::atomic<bool>> sent;
  };

  absl::Status Grant(ServingWorker& worker, std::uint32_t tasks)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BeginServing(ServingWorker& worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AnyServes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Assigns, then sends: making messages of pictures takes time that other calls need not wait for.
  // A cancellation may overtake its task, which the link allows.
  void Pump() ABSL_LOCKS_EXCLUDED(mutex_);
  // While there are both work and workers that may have it.
  void AssignAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Workers that may be given one more task now.
  std::vector<ServingWorker*> Takers(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // To be sent now or, if it must be alone, once the worker is idle.
  void Assign(ServingWorker& worker, RequestQueue::Assignment next, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Send(ServingWorker& worker, const RequestQueue::Assignment& next, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A task of this cause is no longer in work there.
  void TaskEnded(ServingWorker& worker, const ServingWorker::Cause& cause,
                 const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One that works and has not just failed at the model, best one with nothing reserved; nullptr:
  // there is none.
  ServingWorker* WorkerFor(const std::string& model, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells the queue that no worker can load the model now, if that is so.
  void TellBlocked(const std::string& model, const absl::Status& why, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells the queue whether any worker may take work.
  void TellOutage(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Answers a task of a live worker, or has it done by another. `declined`: it was not done, and
  // may be by another.
  void Conclude(RequestId task, absl::StatusOr<Outcome> outcome, bool declined)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void HandBack(const ServingWorker& worker, WorkerEnd end) ABSL_LOCKS_EXCLUDED(mutex_);
  void TellSlots() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // When a breaker lets a trial through or the grace without workers ends, whichever is first and
  // later than `after`.
  absl::Time NextEvent(absl::Time after) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeLoop() ABSL_LOCKS_EXCLUDED(mutex_);

  RequestQueue& queue_;
  Clock& clock_;
  DispatchProbe& probe_;
  const absl::Duration worker_grace_;
  mutable absl::Mutex mutex_;
  absl::CondVar changed_;  // a breaker has opened, the last worker has gone, or the end
  std::map<WorkerId, ServingWorker> workers_ ABSL_GUARDED_BY(mutex_);
  BreakerTable breakers_ ABSL_GUARDED_BY(mutex_);
  std::vector<Outgoing> outbox_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t picks_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time absent_since_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread waker_;
};

}  // namespace atelier::server
