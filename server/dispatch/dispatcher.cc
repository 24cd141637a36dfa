#include "server/dispatch/dispatcher.h"

#include <algorithm>
#include <utility>

#include "common/status_macros.h"
#include "server/queue/load_failure.h"

namespace atelier::server {
namespace {

// Requests that one pass over the queue holds back for other workers. Bounds a pass; so many
// waiting ones of a model that an idle worker cannot load may hide others from it.
constexpr std::size_t kMostHeld = 64;

}  // namespace

absl::Status Dispatcher::AddCredit(WorkerId id, std::uint32_t tasks) {
  {
    absl::MutexLock lock(&mutex_);
    auto worker = workers_.find(id);
    if (worker == workers_.end()) {
      return absl::OkStatus();  // lost in the meantime
    }
    ATELIER_RETURN_IF_ERROR(Grant(worker->second, tasks));
  }
  queue_.RefuseHopeless();  // the first credit may come from one with an open breaker
  Pump();
  return absl::OkStatus();
}

absl::Status Dispatcher::Grant(ServingWorker& worker, std::uint32_t tasks) {
  if (tasks > kMaxCredit - worker.credit) {
    return absl::FailedPreconditionError(
        "The worker granted more credit than the protocol allows.");
  }
  worker.credit += tasks;
  if (tasks > 0 && !worker.serves) {
    BeginServing(worker);
  }
  return absl::OkStatus();
}

absl::Status Dispatcher::OnResult(WorkerId id, RequestId task, absl::StatusOr<Outcome> outcome,
                                  std::uint32_t credit) {
  bool wanted = true;
  bool declined = absl::IsUnavailable(outcome.status()) || absl::IsCancelled(outcome.status());
  {
    absl::MutexLock lock(&mutex_);
    auto found = workers_.find(id);
    if (found == workers_.end()) {
      return absl::OkStatus();
    }
    ServingWorker& worker = found->second;
    ATELIER_RETURN_IF_ERROR(Grant(worker, credit));
    ServingWorker::Cause cause;
    if (auto gone = worker.abandoned.extract(task)) {
      wanted = false;
      cause = std::move(gone.mapped());
    } else {
      const auto held = worker.in_work.find(task);
      if (held == worker.in_work.end()) {
        return absl::FailedPreconditionError(
            "The worker sent a result for a task that it does not hold.");
      }
      if (outcome.ok() && !Answers(*outcome, *held->second.work)) {
        return absl::FailedPreconditionError("The worker's result is not what its task asked for.");
      }
      if (outcome.ok()) {
        // The pictures of one task are always a batch.
        const std::size_t pictures = PicturesOf(*held->second.work);
        probe_.Done(std::max<std::size_t>(FactsOf(*outcome).batch_size, pictures));
      }
      cause = std::move(held->second.cause);
      worker.in_work.erase(held);
    }
    TaskEnded(worker, cause, outcome.status());
    declined = declined ||
               (IsLoadFailure(outcome.status()) && WorkerFor(cause.model, clock_.Now()) != nullptr);
  }
  if (wanted) {
    Conclude(task, std::move(outcome), declined);
  }
  queue_.RefuseHopeless();
  Pump();
  return absl::OkStatus();
}

void Dispatcher::Conclude(RequestId task, absl::StatusOr<Outcome> outcome, bool declined) {
  if (declined) {
    queue_.Requeue(task, RequestQueue::Loss::kDeclined);
  } else {
    queue_.Complete(task, std::move(outcome));
  }
}

void Dispatcher::TaskEnded(ServingWorker& worker, const ServingWorker::Cause& cause,
                           const absl::Status& status) {
  const absl::Time now = clock_.Now();
  if (IsLoadFailure(status)) {
    worker.faults.LoadFailed(cause.model, cause.weights, now);
    TellBlocked(cause.model, status, now);
  } else if (absl::IsInternal(status)) {
    worker.faults.Failed(cause.model, cause.fingerprint, now);
    breakers_.Failed(worker.name, cause.fingerprint, now, cause.model);
    TellOutage(now);
    changed_.SignalAll();
  } else if (status.ok()) {
    breakers_.Worked(worker.name, cause.model, now);
    if (worker.faults.Worked(cause.model)) {
      queue_.UnblockModel(cause.model);
    }
  }
  if (worker.trial && (status.ok() || absl::IsInvalidArgument(status))) {
    // A picture that it can tell to be bad shows that it works; other errors tell neither way.
    breakers_.Succeeded(worker.name);
    TellOutage(now);
  }
  if (worker.idle()) {
    worker.exclusive = false;
    worker.trial = false;
  }
}

ServingWorker* Dispatcher::WorkerFor(const std::string& model, absl::Time now) {
  ServingWorker* best = nullptr;
  for (auto& [id, worker] : workers_) {
    if (!worker.serves || worker.faults.Avoids(model, now) ||
        breakers_.state(worker.name, now) != BreakerState::kClosed) {
      continue;
    }
    if (!worker.reserved.has_value()) {
      return &worker;
    }
    best = &worker;
  }
  return best;
}

void Dispatcher::WorkArrived() { Pump(); }

void Dispatcher::Abandoned(RequestId id) {
  {
    absl::MutexLock lock(&mutex_);
    for (auto& [worker_id, worker] : workers_) {
      if (auto task = worker.in_work.extract(id)) {
        worker.abandoned.emplace(id, std::move(task.mapped().cause));
        worker.port->SendCancel(id);
        return;
      }
      if (worker.reserved.has_value() && worker.reserved->id == id) {
        worker.reserved.reset();
        break;
      }
    }
  }
  Pump();  // a worker that was kept free may have work again
}

void Dispatcher::Pump() {
  std::vector<Outgoing> outgoing;
  {
    absl::MutexLock lock(&mutex_);
    AssignAll();
    outgoing.swap(outbox_);
  }
  for (const Outgoing& task : outgoing) {
    task.port->SendTask(task.id, *task.work, task.deadline, *task.sent);
  }
}

void Dispatcher::AssignAll() {
  const absl::Time now = clock_.Now();
  for (auto& [id, worker] : workers_) {
    if (!worker.reserved.has_value()) {
      continue;
    }
    if (breakers_.state(worker.name, now) == BreakerState::kOpen) {
      queue_.Requeue(std::exchange(worker.reserved, std::nullopt)->id,
                     RequestQueue::Loss::kNotBegun);
    } else if (worker.credit > 0 &&
               (worker.idle() || !(worker.reserved->alone || worker.exclusive))) {
      Send(worker, *std::exchange(worker.reserved, std::nullopt), now);
    }
  }
  std::vector<RequestId> held;  // for workers that something is reserved for already
  while (held.size() < kMostHeld) {
    std::vector<ServingWorker*> takers = Takers(now);
    std::optional<RequestQueue::Assignment> next =
        takers.empty() ? std::nullopt : queue_.TakeNext();
    if (!next.has_value()) {
      break;
    }
    ServingWorker* worker = ChooseWorker(takers, *next, now);
    if (ServingWorker* other =
            worker->faults.Avoids(next->model, now) ? WorkerFor(next->model, now) : nullptr;
        other != nullptr) {
      // It waits for the one that can do it, and what comes after it need not.
      if (other->reserved.has_value()) {
        held.push_back(next->id);
      } else {
        other->reserved = *std::move(next);
      }
      continue;
    }
    Assign(*worker, *std::move(next), now);
  }
  // Only now: what goes back is first in the queue, and would be taken again at once.
  for (const RequestId id : held) {
    queue_.Requeue(id, RequestQueue::Loss::kNotBegun);
  }
}

std::vector<ServingWorker*> Dispatcher::Takers(absl::Time now) {
  std::vector<ServingWorker*> takers;
  for (auto& [id, worker] : workers_) {
    if (worker.credit == 0 || worker.exclusive || worker.reserved.has_value()) {
      continue;
    }
    const BreakerState breaker = breakers_.state(worker.name, now);
    if (breaker == BreakerState::kClosed || (breaker == BreakerState::kHalfOpen && worker.idle())) {
      takers.push_back(&worker);
    }
  }
  return takers;
}

void Dispatcher::Assign(ServingWorker& worker, RequestQueue::Assignment next, absl::Time now) {
  worker.last_picked = ++picks_;
  if (next.alone && !worker.idle()) {
    worker.reserved = std::move(next);
  } else {
    Send(worker, next, now);
  }
}

void Dispatcher::Send(ServingWorker& worker, const RequestQueue::Assignment& next, absl::Time now) {
  worker.trial = breakers_.state(worker.name, now) != BreakerState::kClosed;
  worker.exclusive = next.alone || worker.trial;
  if (worker.trial) {
    breakers_.BeginTrial(worker.name);
  }
  --worker.credit;
  auto sent = std::make_shared<std::atomic<bool>>(false);
  worker.in_work.emplace(next.id, ServingWorker::Task{.work = next.work,
                                                      .cause = {.model = next.model,
                                                                .weights = WeightsOf(*next.work),
                                                                .fingerprint = next.fingerprint,
                                                                .sent = sent}});
  outbox_.push_back({worker.port, next.id, next.work, next.deadline, std::move(sent)});
  probe_.Dispatched();
}

}  // namespace atelier::server
