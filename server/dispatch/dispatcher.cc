#include "server/dispatch/dispatcher.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "server/queue/load_failure.h"

namespace atelier::server {
namespace {

// Requests that one pass over the queue holds back for other workers. Bounds a pass; so many
// waiting ones of a model that an idle worker cannot load may hide others from it.
constexpr std::size_t kMostHeld = 64;

}  // namespace

Dispatcher::Dispatcher(RequestQueue& queue, Clock& clock, DispatchProbe& probe,
                       absl::Duration worker_grace)
    : queue_(queue),
      clock_(clock),
      probe_(probe),
      worker_grace_(worker_grace),
      breakers_({}, probe),
      absent_since_(clock.Now()),
      waker_([this] { WakeLoop(); }) {
  queue_.SetListener(this);
  const absl::MutexLock lock(&mutex_);
  TellOutage(absent_since_);
}

Dispatcher::~Dispatcher() {
  queue_.SetListener(nullptr);
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.SignalAll();
  }
  waker_.join();
}

void Dispatcher::AddWorker(WorkerId id, std::uint32_t slots, std::shared_ptr<WorkerPort> port,
                           std::string name) {
  ATELIER_CHECK(slots > 0);
  absl::MutexLock lock(&mutex_);
  ServingWorker worker;
  worker.port = std::move(port);
  worker.name = std::move(name);
  worker.slots = slots;
  const absl::Time now = clock_.Now();
  breakers_.Connected(worker.name, now);
  const bool inserted = workers_.emplace(id, std::move(worker)).second;
  ATELIER_CHECK(inserted);
  TellSlots();
  TellOutage(now);
  queue_.UnblockModels();  // it may load what others cannot
  changed_.SignalAll();    // it may have come back with an open breaker
}

void Dispatcher::TellSlots() {
  std::uint32_t slots = 0;
  for (const auto& [id, worker] : workers_) {
    slots += worker.slots;
  }
  queue_.SetSlots(slots);
}

void Dispatcher::OnModelState(WorkerId id, const std::string& weights_sha256, bool loaded) {
  absl::MutexLock lock(&mutex_);
  auto worker = workers_.find(id);
  if (worker == workers_.end()) {
    return;
  }
  if (loaded) {
    worker->second.loaded.insert(weights_sha256);
    for (const std::string& model : worker->second.faults.Loaded(weights_sha256)) {
      queue_.UnblockModel(model);
    }
  } else {
    worker->second.loaded.erase(weights_sha256);
  }
}

absl::Status Dispatcher::AddCredit(WorkerId id, std::uint32_t tasks) {
  {
    absl::MutexLock lock(&mutex_);
    auto worker = workers_.find(id);
    if (worker == workers_.end()) {
      return absl::OkStatus();  // lost in the meantime
    }
    ATELIER_RETURN_IF_ERROR(Grant(worker->second, tasks));
  }
  Pump();
  return absl::OkStatus();
}

absl::Status Dispatcher::Grant(ServingWorker& worker, std::uint32_t tasks) {
  if (tasks > kMaxCredit - worker.credit) {
    return absl::FailedPreconditionError(
        "The worker granted more credit than the protocol allows.");
  }
  worker.credit += tasks;
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
    if (worker.faults.Avoids(model, now) ||
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

void Dispatcher::TellBlocked(const std::string& model, const absl::Status& why, absl::Time now) {
  absl::Time until = absl::InfiniteFuture();
  for (const auto& [id, worker] : workers_) {
    until = std::min(until, worker.faults.NoLoadBefore(model, now));
  }
  if (until > now) {
    queue_.BlockModel(model, why, until);
  }
}

void Dispatcher::TellOutage(absl::Time now) {
  if (workers_.empty()) {
    return queue_.SetNoWorker(Outages::NoWorker{.from = absent_since_ + worker_grace_});
  }
  absl::Time until = absl::InfiniteFuture();
  for (const auto& [id, worker] : workers_) {
    until = std::min(until, breakers_.OpenUntil(worker.name));
  }
  // In the past where a breaker is closed or half open.
  queue_.SetNoWorker(until > now ? std::optional(Outages::NoWorker{.until = until}) : std::nullopt);
}

void Dispatcher::RemoveWorker(WorkerId id, WorkerEnd end) {
  ServingWorker worker;
  {
    absl::MutexLock lock(&mutex_);
    auto node = workers_.extract(id);
    if (node.empty()) {
      return;
    }
    worker = std::move(node.mapped());
    const absl::Time now = clock_.Now();
    if (end == WorkerEnd::kLost) {
      breakers_.Failed(worker.name, 0, now);
      changed_.SignalAll();
    }
    breakers_.Disconnected(worker.name, now);
    TellSlots();
    if (workers_.empty()) {
      absent_since_ = now;
      changed_.SignalAll();
    }
    TellOutage(now);
  }
  HandBack(worker, end);
  queue_.RefuseHopeless();
  Pump();
}

void Dispatcher::HandBack(const ServingWorker& worker, WorkerEnd end) {
  const bool lost = end == WorkerEnd::kLost;
  if (lost && worker.tasks() == 1) {
    queue_.Strike(worker.in_work.empty() ? worker.abandoned.begin()->second.fingerprint
                                         : worker.in_work.begin()->second.cause.fingerprint);
  }
  for (const auto& [orphan, task] : worker.in_work) {
    queue_.Requeue(orphan, lost ? RequestQueue::Loss::kDied : RequestQueue::Loss::kDeclined);
  }
  if (worker.reserved.has_value()) {
    queue_.Requeue(worker.reserved->id, RequestQueue::Loss::kNotBegun);
  }
}

std::optional<absl::Time> Dispatcher::without_workers_since() const {
  absl::MutexLock lock(&mutex_);
  if (!workers_.empty()) {
    return std::nullopt;
  }
  return absent_since_;
}

bool Dispatcher::may_serve() const {
  const std::optional<absl::Time> since = without_workers_since();
  return !since.has_value() || clock_.Now() - *since < worker_grace_;
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
    task.port->SendTask(task.id, *task.work, task.deadline);
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
  worker.in_work.emplace(next.id, ServingWorker::Task{.work = next.work,
                                                      .cause = {.model = next.model,
                                                                .weights = WeightsOf(*next.work),
                                                                .fingerprint = next.fingerprint}});
  outbox_.push_back({worker.port, next.id, next.work, next.deadline});
  probe_.Dispatched();
}

absl::Time Dispatcher::NextEvent(absl::Time after) const {
  const absl::Time grace_over =
      workers_.empty() ? absent_since_ + worker_grace_ : absl::InfinitePast();
  const absl::Time trial = breakers_.NextTrial(after);
  return grace_over > after ? std::min(grace_over, trial) : trial;
}

void Dispatcher::WakeLoop() {
  absl::Time woken = absl::InfinitePast();
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      absl::Time now = clock_.Now();
      while (!stopping_ && now < NextEvent(woken)) {
        clock_.WaitUntil(changed_, mutex_, NextEvent(woken));
        now = clock_.Now();
      }
      if (stopping_) {
        return;
      }
      woken = now;
      TellOutage(now);
    }
    queue_.RefuseHopeless();
    Pump();
  }
}

}  // namespace atelier::server
