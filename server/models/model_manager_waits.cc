// What the manager waits for: loads and unloads under way in workers, and orders that overtake
// them.
#include <algorithm>
#include <utility>

#include "common/errors.h"
#include "server/models/model_manager.h"

namespace atelier::server {
namespace {

// What a caller is told to wait when too much is under way.
constexpr absl::Duration kRetryDelay = absl::Seconds(5);

absl::Status TooLate() {
  return absl::DeadlineExceededError(
      "Not all workers were done with the model in time; they may go on with it.");
}

absl::Status CallerGone() { return absl::CancelledError("The caller has given up."); }

absl::Status Overtaken() {
  return absl::AbortedError("A later order for this model came before this one was done.");
}

}  // namespace

absl::Status ModelManager::RoomFor(const ModelVersion& model, bool loads) const {
  std::size_t all = 0;
  std::size_t of_version = 0;
  for (const auto& [id, wait] : waits_) {
    const bool ordered = loads ? wait.step == Step::kLoad || wait.step == Step::kPromote
                               : wait.step == Step::kUnload;
    all += ordered ? 1 : 0;
    of_version +=
        ordered && wait.model.name == model.name && wait.model.version == model.version ? 1 : 0;
  }
  return all < kMaxOrders && of_version < kMaxOfVersion
             ? absl::OkStatus()
             : RetryLater(kRetryDelay,
                          "Too many loads or unloads of models are under way. Try again later.");
}

void ModelManager::Begin(Step step, const ModelVersion& model, absl::Time deadline, Then then,
                         GivenUp given_up) {
  const std::uint64_t id = next_wait_++;
  Wait& wait = waits_[id];
  wait.step = step;
  wait.model = model;
  wait.deadline = std::min(deadline, options_.clock->Now() + options_.patience);
  wait.then = std::move(then);
  wait.given_up = std::move(given_up);
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
  std::vector<std::pair<Wait, absl::Status>> ended;
  for (auto it = waits_.begin(); it != waits_.end();) {
    Wait& wait = it->second;
    const bool expired = wait.deadline <= now;
    if (!expired && (wait.given_up == nullptr || !wait.given_up())) {
      ++it;
      continue;
    }
    ended.emplace_back(std::move(wait), expired ? TooLate() : CallerGone());
    it = waits_.erase(it);
  }
  for (auto& [wait, why] : ended) {
    // What nobody has ordered is wanted however long it takes.
    if (wait.step == Step::kLoad || wait.step == Step::kPromote) {
      options_.loads->Withdraw(wait.ticket);
    } else {
      options_.loads->Forget(wait.ticket);
    }
    wait.then(why);
  }
}

}  // namespace atelier::server
