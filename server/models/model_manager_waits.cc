// What the manager waits for: loads and unloads under way in workers, and orders that overtake
// them.
#include <algorithm>
#include <utility>

#include "server/models/model_manager.h"

namespace atelier::server {
namespace {

absl::Status Overtaken() {
  return absl::AbortedError("A later order for this model came before this one was done.");
}

}  // namespace

void ModelManager::Begin(Step step, const ModelVersion& model, absl::Time deadline, Then then) {
  const std::uint64_t id = next_wait_++;
  Wait& wait = waits_[id];
  wait.step = step;
  wait.model = model;
  wait.deadline = std::min(deadline, options_.clock->Now() + options_.patience);
  wait.then = std::move(then);
  auto done = [this, work = work_, id](absl::Status status) {
    work->Add([this, id, status = std::move(status)] {
      if (auto ended = waits_.extract(id); !ended.empty()) {
        Wait& over = ended.mapped();
        over.then(over.overtaken ? Overtaken() : status);
      }
    });
  };
  if (step == Step::kUnload) {
    wait.ticket = options_.loads->Unload(model, std::move(done));
  } else {
    StayLoaded(model);
    wait.ticket = options_.loads->Load(model, std::move(done));
  }
}

void ModelManager::OvertakeLoads(const ModelVersion& unloaded) {
  for (auto& [id, wait] : waits_) {
    const bool loads = wait.step == Step::kLoad || wait.step == Step::kPromote;
    if (loads && wait.model.name == unloaded.name && wait.model.version == unloaded.version) {
      wait.overtaken = true;
    }
  }
}

void ModelManager::OvertakePromotions(const std::string& name, std::uint32_t stable) {
  for (auto& [id, wait] : waits_) {
    if (wait.step == Step::kPromote && wait.model.name == name && wait.model.version != stable) {
      wait.overtaken = true;
    }
  }
}

void ModelManager::ExpireWaits(absl::Time now) {
  std::vector<Wait> expired;
  for (auto it = waits_.begin(); it != waits_.end();) {
    if (it->second.deadline > now) {
      ++it;
      continue;
    }
    expired.push_back(std::move(it->second));
    it = waits_.erase(it);
  }
  for (Wait& wait : expired) {
    options_.loads->Forget(wait.ticket);
    wait.then(absl::DeadlineExceededError(
        "Not all workers were done with the model in time; they go on."));
  }
}

}  // namespace atelier::server
