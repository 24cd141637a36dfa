#include "server/dispatch/model_loader.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace atelier::server {

ModelKey KeyOf(const ModelVersion& model) {
  return {.name = model.name, .version = model.version, .weights_sha256 = model.weights_sha256};
}

// Microseconds: no number of an earlier server, whose orders a worker may still be working off.
ModelLoader::ModelLoader(const ModelRegistry& models)
    : models_(models), next_ticket_(static_cast<Ticket>(absl::ToUnixMicros(absl::Now()))) {}

void ModelLoader::AddWorker(WorkerId id, std::shared_ptr<ModelPort> port,
                            const std::vector<ModelKey>& loaded) {
  const absl::MutexLock lock(&mutex_);
  Worker& worker = workers_[id];
  worker.port = std::move(port);
  worker.loaded = {loaded.begin(), loaded.end()};
  std::vector<LoadOrder> preload;
  std::set<ModelKey> ordered;
  for (auto& [ticket, operation] : operations_) {
    if (operation.loads) {
      preload.push_back({.model = operation.model, .number = ticket});
      ordered.insert(operation.key);
      operation.waiting.insert(id);
      if (!worker.loaded.contains(operation.key)) {
        operation.fresh.insert(id);
      }
    }
  }
  for (ModelVersion& model : models_.List()) {
    if (model.kept && !ordered.contains(KeyOf(model))) {
      preload.push_back({.model = std::move(model)});
    }
  }
  worker.port->SendWelcome(preload);
}

absl::Status ModelLoader::OnReport(WorkerId id, const ModelReport& report) {
  Answers answers;
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = workers_.find(id);
    if (found == workers_.end()) {
      return absl::OkStatus();  // it has just been removed
    }
    Worker& worker = found->second;
    if (Learn(worker, report)) {
      worker.repeats = 0;
    } else if (report.state != ModelReport::State::kFailed) {
      ++worker.repeats;
    }
    if (worker.loaded.size() > kMaxModels) {
      return absl::FailedPreconditionError("The worker claims more models than it can hold.");
    }
    if (worker.repeats > kMaxRepeats) {
      return absl::FailedPreconditionError("The worker tells the same of its models for ever.");
    }
    Advance(id, report, answers);
  }
  Deliver(std::move(answers));
  return absl::OkStatus();
}

bool ModelLoader::Learn(Worker& worker, const ModelReport& report) {
  switch (report.state) {
    case ModelReport::State::kReady:
      return worker.loaded.insert(report.model).second;
    case ModelReport::State::kUnloaded:
      return worker.loaded.erase(report.model) > 0;
    case ModelReport::State::kFailed:
      return false;
  }
  return false;
}

void ModelLoader::Advance(WorkerId id, const ModelReport& report, Answers& answers) {
  for (auto it = operations_.begin(); it != operations_.end();) {
    Operation& operation = it->second;
    const bool answers_it =
        operation.loads ? it->first == report.order && report.state != ModelReport::State::kUnloaded
                        : report.state == ModelReport::State::kUnloaded;
    if (!answers_it || operation.key != report.model || !operation.waiting.contains(id)) {
      ++it;
      continue;
    }
    workers_.at(id).repeats = 0;
    if (report.state == ModelReport::State::kFailed) {
      TakeBack(operation);
      it = Finish(it, report.failure, answers);
      continue;
    }
    operation.succeeded = true;
    operation.waiting.erase(id);
    it = operation.waiting.empty() ? Finish(it, absl::OkStatus(), answers) : std::next(it);
  }
}

void ModelLoader::RemoveWorker(WorkerId id) {
  Answers answers;
  {
    const absl::MutexLock lock(&mutex_);
    if (workers_.erase(id) == 0) {
      return;
    }
    for (auto it = operations_.begin(); it != operations_.end();) {
      Operation& operation = it->second;
      operation.fresh.erase(id);
      if (operation.waiting.erase(id) == 0 || !operation.waiting.empty()) {
        ++it;
        continue;
      }
      const bool done = operation.succeeded || !operation.loads;
      it = Finish(it,
                  done ? absl::OkStatus()
                       : absl::UnavailableError("The worker was lost while it loaded the model."),
                  answers);
    }
  }
  Deliver(std::move(answers));
}

ModelLoads::Ticket ModelLoader::Load(const ModelVersion& model, Done done) {
  Ticket ticket = 0;
  {
    const absl::MutexLock lock(&mutex_);
    ticket = next_ticket_++;
    if (Operation* equal = FindEqual(model); equal != nullptr) {
      equal->waiters.emplace(ticket, std::move(done));
      return ticket;
    }
    if (!workers_.empty()) {
      Operation& operation = operations_[ticket];
      operation.model = model;
      operation.key = KeyOf(model);
      operation.waiters.emplace(ticket, std::move(done));
      for (auto& [id, worker] : workers_) {
        operation.waiting.insert(id);
        if (!worker.loaded.contains(operation.key)) {
          operation.fresh.insert(id);
        }
        worker.port->SendLoad({.model = model, .number = ticket});
      }
      return ticket;
    }
  }
  done(absl::UnavailableError("No worker is connected that could load the model."));
  return ticket;
}

ModelLoader::Operation* ModelLoader::FindEqual(const ModelVersion& model) {
  const ModelKey key = KeyOf(model);
  for (auto& [number, operation] : operations_) {
    const std::vector<std::uint32_t>& warms = operation.model.warmup_sizes;
    const bool all = model.warmup_sizes == warms ||
                     (!model.warmup_sizes.empty() &&
                      std::ranges::all_of(model.warmup_sizes, [&](std::uint32_t size) {
                        return std::ranges::find(warms, size) != warms.end();
                      }));
    if (operation.loads && operation.open && operation.key == key && all) {
      return &operation;
    }
  }
  return nullptr;
}

ModelLoads::Ticket ModelLoader::Unload(const ModelVersion& model, Done done) {
  Ticket ticket = 0;
  {
    const absl::MutexLock lock(&mutex_);
    ticket = next_ticket_++;
    if (!workers_.empty()) {
      const ModelKey key = KeyOf(model);
      for (auto& [number, earlier] : operations_) {
        earlier.open = earlier.open && earlier.key != key;
      }
      Operation& operation = operations_[ticket];
      operation.loads = false;
      operation.model = model;
      operation.key = key;
      operation.waiters.emplace(ticket, std::move(done));
      for (auto& [id, worker] : workers_) {
        operation.waiting.insert(id);
        worker.port->SendUnload(model);
      }
      return ticket;
    }
  }
  done(absl::OkStatus());
  return ticket;
}

void ModelLoader::Forget(Ticket ticket) {
  Done dropped;  // what it holds goes without the lock
  const absl::MutexLock lock(&mutex_);
  dropped = Leave(ticket, /*goes_on=*/true);
}

void ModelLoader::Withdraw(Ticket ticket) {
  Done dropped;
  const absl::MutexLock lock(&mutex_);
  dropped = Leave(ticket, /*goes_on=*/false);
}

ModelLoads::Done ModelLoader::Leave(Ticket ticket, bool goes_on) {
  for (auto& [number, operation] : operations_) {
    const auto waiter = operation.waiters.find(ticket);
    if (waiter == operation.waiters.end()) {
      continue;
    }
    Done done = std::move(waiter->second);
    operation.waiters.erase(waiter);
    operation.goes_on = operation.goes_on || goes_on || !operation.loads;
    if (!operation.waiters.empty()) {
      return done;
    }
    if (!operation.goes_on) {
      for (const WorkerId id : operation.waiting) {
        workers_.at(id).port->SendCancelLoad(number);
      }
    }
    operations_.erase(number);
    return done;
  }
  return nullptr;
}

std::uint32_t ModelLoader::Workers() const {
  const absl::MutexLock lock(&mutex_);
  return static_cast<std::uint32_t>(workers_.size());
}

std::uint32_t ModelLoader::LoadedWorkers(const ModelVersion& model) const {
  const ModelKey key = KeyOf(model);
  const absl::MutexLock lock(&mutex_);
  return static_cast<std::uint32_t>(std::ranges::count_if(
      workers_, [&](const auto& worker) { return worker.second.loaded.contains(key); }));
}

std::set<std::string> ModelLoader::LoadedBy(WorkerId id) const {
  const absl::MutexLock lock(&mutex_);
  std::set<std::string> checksums;
  if (const auto worker = workers_.find(id); worker != workers_.end()) {
    for (const ModelKey& key : worker->second.loaded) {
      checksums.insert(key.weights_sha256);
    }
  }
  return checksums;
}

ModelLoader::Operations::iterator ModelLoader::Finish(Operations::iterator operation,
                                                      const absl::Status& status,
                                                      Answers& answers) {
  for (auto& [ticket, done] : operation->second.waiters) {
    answers.push_back({std::move(done), status});
  }
  return operations_.erase(operation);
}

void ModelLoader::TakeBack(const Operation& failed) {
  const auto other = std::ranges::find_if(operations_, [&](const auto& entry) {
    return &entry.second != &failed && entry.second.loads && entry.second.key == failed.key;
  });
  if (other != operations_.end()) {
    other->second.fresh.insert(failed.fresh.begin(), failed.fresh.end());
    return;
  }
  for (const WorkerId id : failed.fresh) {
    if (const auto worker = workers_.find(id); worker != workers_.end()) {
      worker->second.port->SendUnload(failed.model);
    }
  }
}

void ModelLoader::Deliver(Answers answers) {
  for (Answer& answer : answers) {
    answer.done(std::move(answer.status));
  }
}

}  // namespace atelier::server
