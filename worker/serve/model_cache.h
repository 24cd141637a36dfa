// Models in memory, each loaded once, the least recently used ones dropped first.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "worker/infer/model.h"
#include "worker/serve/queue/job.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// Thread-safe. A model in use stays alive until its users let go, even when it was dropped from the
// cache meanwhile.
class ModelCache final : public ModelProvider {
 public:
  using Loader =
      std::function<absl::StatusOr<std::unique_ptr<infer::Model>>(const infer::ModelOptions&)>;
  // Runs a model once for each picture's size that it is warmed for.
  using WarmUp = std::function<absl::Status(infer::Model&, const std::vector<std::uint32_t>&)>;
  using Observer = std::function<void(const ModelEvent&)>;

  struct Options {
    std::string device = "cpu";
    // The most that the weights of idle and used models may take together, which is looked at
    // whenever a model is loaded or used; the newest model stays even when it is larger.
    std::uint64_t budget_bytes = 2ULL << 30U;
    // EfficientNet-Lite0 (.pth), for models of the family "gatys".
    std::filesystem::path feature_weights;
    Loader load = infer::LoadModel;
    WarmUp warm_up;  // null: models are as warm as their load leaves them
    // Frees a model that nobody uses any more; called on the thread that let go of it last.
    std::function<void(std::unique_ptr<infer::Model>)> dispose =
        [](std::unique_ptr<infer::Model> model) { model.reset(); };
  };

  explicit ModelCache(Options options) : options_(std::move(options)) {}

  // As ModelProvider says. Callers that ask for a model that is being loaded wait for that one load
  // and share its outcome. A failure is not remembered: the next call tries again. Errors: those of
  // infer::LoadModel.
  std::shared_ptr<infer::Model> InMemory(const ModelSource& source) override
      ABSL_LOCKS_EXCLUDED(mu_, deliver_mu_);
  absl::StatusOr<std::shared_ptr<infer::Model>> Get(const ModelSource& source) override
      ABSL_LOCKS_EXCLUDED(mu_, deliver_mu_);

  // Loads the model if need be, warms it for pictures of these sizes (squares, pixels) before
  // anybody gets it, and keeps it: models that were not asked for in this way are dropped before
  // it. A model that is there already serves on meanwhile. Blocks. The observer hears of the
  // outcome in any case, by an event with this `order`. `still_wanted` is asked before each size:
  // false ends it with CANCELLED, what was done so far stays done, and the model is not kept for
  // it.
  void Keep(
      const ModelSource& source, const std::vector<std::uint32_t>& sizes, std::uint64_t order,
      const std::function<bool()>& still_wanted = [] { return true; })
      ABSL_LOCKS_EXCLUDED(mu_, deliver_mu_);

  // The observer hears that a Keep of this order will not be done.
  void Refuse(const ModelSource& source, const absl::Status& why, std::uint64_t order)
      ABSL_LOCKS_EXCLUDED(mu_, deliver_mu_);

  // Takes the model out, after its load if it is being loaded; whoever uses it goes on. The
  // observer hears of it also when it was not there.
  void Drop(const ModelSource& source) ABSL_LOCKS_EXCLUDED(mu_, deliver_mu_);

  // From now on `observer` (or nobody, if null) is told what comes into memory or leaves it, in
  // order, one call at a time, on the threads that make it happen. To begin with it is told of the
  // models that are there and, as unloaded, of those of `known` that are not. The observer before
  // it is not called any more once this returns.
  void Watch(const std::vector<ModelSource>& known, Observer observer)
      ABSL_LOCKS_EXCLUDED(mu_, deliver_mu_);

  std::vector<ModelSource> Loaded() const ABSL_LOCKS_EXCLUDED(mu_);

  struct Figures {
    std::uint32_t models = 0;
    std::uint64_t bytes = 0;  // of their weights
  };
  Figures figures() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    ModelSource source;
    bool loading = true;
    bool kept = false;
    absl::Status status;  // of the load, once it has ended
    std::shared_ptr<infer::Model> model;
    std::vector<std::uint32_t> warm;  // sizes that need no warming any more
  };
  using EntryPtr = std::shared_ptr<Entry>;
  using Entries = std::list<EntryPtr>;
  using Sizes = std::vector<std::uint32_t>;

  // The entry of the model, moved to the front; true: it is new, and the caller loads it.
  std::pair<EntryPtr, bool> FindOrAdd(const ModelSource& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What Keep asks for.
  struct Wish {
    Sizes sizes;
    std::uint64_t order = 0;
    const std::function<bool()>& still_wanted;
  };
  // Keep for a model that somebody else has loaded or is loading.
  void KeepLoaded(const EntryPtr& entry, const Wish& wish) ABSL_LOCKS_EXCLUDED(mu_, deliver_mu_);
  // Loads what FindOrAdd has added. `wish` null: for a task.
  absl::StatusOr<std::shared_ptr<infer::Model>> Load(const EntryPtr& entry, const Wish* wish)
      ABSL_LOCKS_EXCLUDED(mu_, deliver_mu_);
  // `warm`: the sizes that were warmed of those wished for.
  absl::StatusOr<std::shared_ptr<infer::Model>> LoadWarm(const ModelSource& source,
                                                         const Wish* wish, Sizes& warm) const;
  // One size after the other; `warm` grows meanwhile.
  absl::Status Warm(infer::Model& model, const Sizes& sizes, const Wish& wish, Sizes& warm) const;

  Entries::iterator Find(const ModelSource& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AwaitLoad(const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Evict(std::vector<EntryPtr>& dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Figures Count() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  void Ready(const Entry& entry, std::uint64_t order) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Failed(const ModelSource& source, const absl::Status& error, std::uint64_t order)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unloaded(const ModelSource& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Hands the events to the observer.
  void Deliver() ABSL_LOCKS_EXCLUDED(mu_, deliver_mu_);
  void DeliverAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(deliver_mu_) ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;

  // Held while the observer is called, so that events keep their order; taken before `mu_`.
  absl::Mutex deliver_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  Observer observer_ ABSL_GUARDED_BY(deliver_mu_);

  mutable absl::Mutex mu_;
  // The most recently used one first. A worker holds tens of models at most, so a list is quick
  // enough to search.
  Entries entries_ ABSL_GUARDED_BY(mu_);
  std::deque<ModelEvent> events_ ABSL_GUARDED_BY(mu_);
};

}  // namespace atelier::worker
