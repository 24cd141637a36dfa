// The ModelRegistry of one server: shipped folders and what the store and the data directory hold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "common/model_spec.h"
#include "server/models/model_registry.h"
#include "server/store/store.h"

namespace atelier::server {

// Whether one of the folders <name>/<version> below `directory` is a whole model. Reads until the
// first.
bool HoldsModels(const std::filesystem::path& directory);

// Thread-safe. Everything but Publish reads memory only; Publish copies and hashes the weights (a
// fraction of a second).
//
// Publishing is whole or not at all: the files are staged in models/<name>/.staging-<version>/ with
// a marker file, flushed, renamed to models/<name>/<version>/, then named in the store, then the
// marker goes. Create finishes or removes what a crash left between.
class ModelCatalog final : public ModelRegistry {
 public:
  struct Options {
    store::Store* store = nullptr;           // outlives the catalog
    std::filesystem::path models_directory;  // <data-dir>/models
    // Folders <name>/<version>/model.json, read-only; empty: none. A broken one is skipped with a
    // log line.
    std::filesystem::path shipped_directory;
    Clock* clock = &SystemClock();  // outlives the catalog
  };

  // Errors of the store; PERMISSION_DENIED or RESOURCE_EXHAUSTED when leftovers cannot be cleared.
  static absl::StatusOr<std::unique_ptr<ModelCatalog>> Create(const Options& options);

  absl::StatusOr<ModelVersion> Resolve(std::string_view reference) const override
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<ModelVersion> List() const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::uint32_t> Publish(std::string_view name, std::string_view job_id,
                                        const std::filesystem::path& result) override
      ABSL_LOCKS_EXCLUDED(publish_mutex_, mutex_);

 private:
  using Versions = std::map<std::uint32_t, ModelVersion>;

  explicit ModelCatalog(Options options);

  absl::Status Load() ABSL_LOCKS_EXCLUDED(mutex_);
  void AddShipped() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One above every version of `name` that is or ever was.
  std::uint32_t NextVersion(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Record(const ModelVersion& model) ABSL_LOCKS_EXCLUDED(mutex_);
  ModelVersion WithLabels(ModelVersion model) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  // Publishing is one at a time, and never holds up Resolve.
  absl::Mutex publish_mutex_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Versions> models_ ABSL_GUARDED_BY(mutex_);
  // The highest version in the store, whether or not its folder is still there.
  std::map<std::string, std::uint32_t> highest_ ABSL_GUARDED_BY(mutex_);
  // Model → label → version.
  std::map<std::string, std::map<std::string, std::uint32_t>> labels_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
