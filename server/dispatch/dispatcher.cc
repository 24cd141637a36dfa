#include "server/dispatch/dispatcher.h"

#include <ranges>
#include <utility>

#include "common/check.h"

namespace atelier::server {

Dispatcher::Dispatcher(RequestQueue& queue, Clock& clock, DispatchProbe& probe)
    : queue_(queue), clock_(clock), probe_(probe), absent_since_(clock.Now()) {
  queue_.SetListener(this);
}

Dispatcher::~Dispatcher() { queue_.SetListener(nullptr); }

void Dispatcher::AddWorker(WorkerId id, std::uint32_t slots, std::shared_ptr<WorkerPort> port) {
  ATELIER_CHECK(slots > 0);
  absl::MutexLock lock(&mutex_);
  Worker worker;
  worker.port = std::move(port);
  worker.slots = slots;
  const bool inserted = workers_.emplace(id, std::move(worker)).second;
  ATELIER_CHECK(inserted);
}

absl::Status Dispatcher::AddCredit(WorkerId id, std::uint32_t tasks) {
  {
    absl::MutexLock lock(&mutex_);
    auto worker = workers_.find(id);
    if (worker == workers_.end()) {
      return absl::OkStatus();  // lost in the meantime
    }
    if (tasks > kMaxCredit - worker->second.credit) {
      return absl::FailedPreconditionError(
          "The worker granted more credit than the protocol allows.");
    }
    worker->second.credit += tasks;
  }
  Pump();
  return absl::OkStatus();
}

absl::Status Dispatcher::OnResult(WorkerId id, RequestId task, absl::StatusOr<Outcome> outcome) {
  {
    absl::MutexLock lock(&mutex_);
    auto worker = workers_.find(id);
    if (worker == workers_.end() || worker->second.abandoned.erase(task) > 0) {
      return absl::OkStatus();
    }
    const auto held = worker->second.in_work.find(task);
    if (held == worker->second.in_work.end()) {
      return absl::FailedPreconditionError(
          "The worker sent a result for a task that it does not hold.");
    }
    if (outcome.ok() && !Answers(*outcome, *held->second)) {
      return absl::FailedPreconditionError("The worker's result is not what its task asked for.");
    }
    worker->second.in_work.erase(held);
  }
  if (absl::IsUnavailable(outcome.status()) || absl::IsCancelled(outcome.status())) {
    queue_.Requeue(task);
    Pump();
  } else {
    queue_.Complete(task, std::move(outcome));
  }
  return absl::OkStatus();
}

void Dispatcher::RemoveWorker(WorkerId id) {
  std::map<RequestId, std::shared_ptr<const Work>> orphans;
  {
    absl::MutexLock lock(&mutex_);
    auto worker = workers_.find(id);
    if (worker == workers_.end()) {
      return;
    }
    orphans = std::move(worker->second.in_work);
    workers_.erase(worker);
    if (workers_.empty()) {
      absent_since_ = clock_.Now();
    }
  }
  // The newest first: each goes to the very front, so that the oldest ends there.
  for (const auto& [orphan, work] : std::views::reverse(orphans)) {
    queue_.Requeue(orphan);
  }
  Pump();
}

std::optional<absl::Time> Dispatcher::without_workers_since() const {
  absl::MutexLock lock(&mutex_);
  if (!workers_.empty()) {
    return std::nullopt;
  }
  return absent_since_;
}

void Dispatcher::WorkArrived() { Pump(); }

void Dispatcher::Abandoned(RequestId id) {
  absl::MutexLock lock(&mutex_);
  for (auto& [worker_id, worker] : workers_) {
    if (worker.in_work.erase(id) > 0) {
      worker.abandoned.insert(id);
      worker.port->SendCancel(id);
      return;
    }
  }
}

void Dispatcher::Pump() {
  absl::MutexLock lock(&mutex_);
  while (Worker* worker = LeastLoaded()) {
    std::optional<RequestQueue::Assignment> next = queue_.TakeNext();
    if (!next.has_value()) {
      return;
    }
    --worker->credit;
    worker->in_work.emplace(next->id, next->work);
    worker->last_picked = ++picks_;
    worker->port->SendTask(next->id, *next->work, next->deadline);
    probe_.Dispatched(PicturesOf(*next->work));
  }
}

Dispatcher::Worker* Dispatcher::LeastLoaded() {
  Worker* best = nullptr;
  for (auto& [id, worker] : workers_) {
    if (worker.credit == 0) {
      continue;
    }
    if (best == nullptr || worker.load() < best->load() ||
        (worker.load() == best->load() && worker.last_picked < best->last_picked)) {
      best = &worker;
    }
  }
  return best;
}

}  // namespace atelier::server
