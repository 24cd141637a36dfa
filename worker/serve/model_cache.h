// Models in memory, each loaded once, the least recently used ones dropped first.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "worker/infer/model.h"
#include "worker/serve/task.h"

namespace atelier::worker {

// Thread-safe. A model in use stays alive until its users let go, even when it was dropped from the
// cache meanwhile.
class ModelCache {
 public:
  using Loader =
      std::function<absl::StatusOr<std::unique_ptr<infer::Model>>(const infer::ModelOptions&)>;

  struct Options {
    std::string device = "cpu";
    // The most that the weights of idle and used models may take together; the newest model stays
    // even when it is larger.
    std::uint64_t budget_bytes = 2ULL << 30U;
    // EfficientNet-Lite0 (.pth), for models of the family "gatys".
    std::filesystem::path feature_weights;
    Loader load = infer::LoadModel;
  };

  explicit ModelCache(Options options) : options_(std::move(options)) {}

  // The model, loaded if need be; blocks meanwhile. Callers that ask for a model that is being
  // loaded wait for that one load and share its outcome. A failure is not remembered: the next call
  // tries again. Errors: those of infer::LoadModel.
  absl::StatusOr<std::shared_ptr<infer::Model>> Get(const ModelSource& source)
      ABSL_LOCKS_EXCLUDED(mu_);

  struct Figures {
    std::uint32_t models = 0;
    std::uint64_t bytes = 0;  // of their weights
  };
  Figures figures() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    ModelSource source;
    bool loading = true;
    absl::Status status;  // of the load, once it has ended
    std::shared_ptr<infer::Model> model;
  };
  using Entries = std::list<std::shared_ptr<Entry>>;

  Entries::iterator Find(const ModelSource& source) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Evict(std::vector<std::shared_ptr<Entry>>& dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Figures Count() const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const Options options_;
  mutable absl::Mutex mu_;
  // The most recently used one first. A worker holds tens of models at most, so a list is quick
  // enough to search.
  Entries entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace atelier::worker
