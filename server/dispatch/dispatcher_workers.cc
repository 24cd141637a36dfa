// Dispatcher: who is there, what is told of that, and what becomes of the work of those that go.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "server/dispatch/dispatcher.h"

namespace atelier::server {

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
  breakers_.Connected(worker.name, clock_.Now());
  const bool inserted = workers_.emplace(id, std::move(worker)).second;
  ATELIER_CHECK(inserted);
  changed_.SignalAll();  // it may have come back with an open breaker
}

void Dispatcher::BeginServing(ServingWorker& worker) {
  worker.serves = true;
  TellSlots();
  TellOutage(clock_.Now());
  queue_.UnblockModels();  // it may load what others cannot
  changed_.SignalAll();    // the grace without workers does not end
}

bool Dispatcher::AnyServes() const {
  return std::ranges::any_of(workers_, [](const auto& worker) { return worker.second.serves; });
}

void Dispatcher::TellSlots() {
  std::uint32_t slots = 0;
  for (const auto& [id, worker] : workers_) {
    slots += worker.serves ? worker.slots : 0;
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

void Dispatcher::TellBlocked(const std::string& model, const absl::Status& why, absl::Time now) {
  absl::Time until = absl::InfiniteFuture();
  for (const auto& [id, worker] : workers_) {
    if (worker.serves) {
      until = std::min(until, worker.faults.NoLoadBefore(model, now));
    }
  }
  if (until > now) {
    queue_.BlockModel(model, why, until);
  }
}

void Dispatcher::TellOutage(absl::Time now) {
  if (!AnyServes()) {
    return queue_.SetNoWorker(Outages::NoWorker{.from = absent_since_ + worker_grace_});
  }
  absl::Time until = absl::InfiniteFuture();
  for (const auto& [id, worker] : workers_) {
    if (worker.serves) {
      until = std::min(until, breakers_.OpenUntil(worker.name));
    }
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
    if (worker.serves && !AnyServes()) {
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
  std::vector<std::uint64_t> suspects;
  for (const auto& [task, cause] : worker.abandoned) {
    if (*cause.sent) {
      suspects.push_back(cause.fingerprint);
    }
  }
  std::vector<std::pair<RequestId, RequestQueue::Loss>> orphans;
  for (const auto& [id, task] : worker.in_work) {
    if (!*task.cause.sent) {
      orphans.emplace_back(id, RequestQueue::Loss::kNotBegun);
      continue;
    }
    suspects.push_back(task.cause.fingerprint);
    orphans.emplace_back(id, lost ? RequestQueue::Loss::kDied : RequestQueue::Loss::kDeclined);
  }
  if (lost && suspects.size() == 1) {
    queue_.Strike(suspects.front());
  }
  for (const auto& [id, loss] : orphans) {
    queue_.Requeue(id, loss);
  }
  if (worker.reserved.has_value()) {
    queue_.Requeue(worker.reserved->id, RequestQueue::Loss::kNotBegun);
  }
}

std::optional<absl::Time> Dispatcher::without_workers_since() const {
  absl::MutexLock lock(&mutex_);
  if (AnyServes()) {
    return std::nullopt;
  }
  return absent_since_;
}

bool Dispatcher::may_serve() const {
  const std::optional<absl::Time> since = without_workers_since();
  return !since.has_value() || clock_.Now() - *since < worker_grace_;
}

absl::Time Dispatcher::NextEvent(absl::Time after) const {
  const absl::Time grace_over = AnyServes() ? absl::InfinitePast() : absent_since_ + worker_grace_;
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
