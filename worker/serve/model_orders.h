// Loads and unloads that the server has ordered, until the background's turn.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "worker/serve/background.h"
#include "worker/serve/model_cache.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// Thread-safe; no method blocks. Orders are worked off one at a time: unloads first, then loads in
// turn of the models, so that many orders for one model do not hold up another's. An unload ends
// the loads of its model that came before it: those that wait are answered CANCELLED, one at work
// stops before its next size.
class ModelOrders {
 public:
  using Done = absl::AnyInvocable<void() &&>;

  // Both outlive it; no order is worked off once the background has stopped.
  ModelOrders(ModelCache& models, Background& background)
      : models_(models), background_(background) {}

  // ModelCache::Keep. `done` is called after it, or once the order is cancelled or overtaken,
  // unless the background stops before.
  void Load(ModelSource source, std::vector<std::uint32_t> sizes, std::uint64_t order, Done done)
      ABSL_LOCKS_EXCLUDED(mu_);
  // ModelCache::Drop.
  void Unload(ModelSource source) ABSL_LOCKS_EXCLUDED(mu_);
  // Nobody waits for this load any more: one that has not begun does not, one at work stops before
  // its next size. No effect on an unknown one, and on number 0, which is nobody's.
  void Cancel(std::uint64_t order) ABSL_LOCKS_EXCLUDED(mu_);
  // The load at work stops before its next size.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct LoadOrder {
    ModelSource source;
    std::vector<std::uint32_t> sizes;
    std::uint64_t order = 0;
    Done done;
  };
  struct UnloadOrder {
    ModelSource source;
    std::vector<LoadOrder> overtaken;
  };
  struct AtWork {
    ModelSource source;
    std::uint64_t order = 0;
    std::atomic<bool> wanted = true;
  };

  // One order, if there is one left.
  void RunNext() ABSL_LOCKS_EXCLUDED(mu_);
  std::optional<LoadOrder> NextLoad() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  ModelCache& models_;
  Background& background_;

  absl::Mutex mu_;
  std::deque<LoadOrder> loads_ ABSL_GUARDED_BY(mu_);
  std::deque<UnloadOrder> unloads_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<AtWork> at_work_ ABSL_GUARDED_BY(mu_);
  ModelSource last_ ABSL_GUARDED_BY(mu_);  // what was loaded last
};

}  // namespace atelier::worker
