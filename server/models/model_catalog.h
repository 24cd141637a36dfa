// The ModelRegistry of one server: shipped folders and what the store and the data directory hold.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "server/models/model_registry.h"
#include "server/models/model_table.h"
#include "server/models/serving_settings.h"
#include "server/store/store.h"

namespace atelier::server {

// Whether one of the folders <name>/<version> below `directory` is a whole model. Reads until the
// first.
bool HoldsModels(const std::filesystem::path& directory);

// Told when a new version could take over from one that NAME means.
class PublicationObserver {
 public:
  virtual ~PublicationObserver() = default;
  // Whether callers of NAME find `present` in the workers' memory, so that `next` must be warm
  // before NAME means it.
  virtual bool IsWarm(const ModelVersion& present) const = 0;
  // `next` is published and held back: NAME goes on meaning the version before until
  // ModelCatalog::Announce. Must not block.
  virtual void HeldBack(const ModelVersion& next) = 0;
};

// Thread-safe. Resolve, List and Meaning read memory only and wait neither for a change nor for
// each other: they read a table that is replaced, not changed, by the next change. Changes are one
// at a time and block on the store for milliseconds, Publish also copies and hashes the weights (a
// fraction of a second). What changes is on the disk before it holds.
//
// Publishing is whole or not at all: the files are staged in models/<name>/.staging-<version>/ with
// a marker file, flushed, renamed to models/<name>/<version>/, then named in the store, then the
// marker goes. Deleting is the other way round: the store first, the files afterwards. Create
// finishes or removes what a crash left between.
//
// Changes return the errors of the store besides their own.
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

  // From now on. In memory only.
  void SetSettings(ServingSettings settings) ABSL_LOCKS_EXCLUDED(mutex_);
  // nullptr takes it away again. `observer` outlives its time here; without one, NAME means a new
  // version at once.
  void SetObserver(PublicationObserver* observer) ABSL_LOCKS_EXCLUDED(change_mutex_);

  absl::StatusOr<ModelVersion> Resolve(std::string_view reference,
                                       std::string_view request_id = {}) const override
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<ModelVersion> List() const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::uint32_t> Publish(std::string_view name, std::string_view job_id,
                                        const std::filesystem::path& result) override
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // As Publish, of a job's checkpoint: the same step of the same job under the same name gives the
  // version that there is, unless that was deleted. `step`: 1 or more.
  absl::StatusOr<std::uint32_t> PublishCheckpoint(std::string_view name, std::string_view job_id,
                                                  std::uint64_t step,
                                                  const std::filesystem::path& result)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  // The version that PublishCheckpoint would return; nullopt: it would make one.
  absl::StatusOr<std::optional<std::uint32_t>> FindCheckpoint(std::string_view name,
                                                              std::string_view job_id,
                                                              std::uint64_t step) const;

  // What NAME means when no canary is drawn; nullopt: nothing.
  std::optional<ModelVersion> Meaning(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Points `label` at the version that `reference` names. `traffic`: the canary's share, 0 to 1.
  // INVALID_ARGUMENT naming `label` or `traffic`; FAILED_PRECONDITION a share for another label;
  // see Resolve.
  absl::StatusOr<ModelVersion> SetLabel(std::string_view reference, std::string_view label,
                                        double traffic) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  // Takes `label` from whichever version of the model has it; no effect when none has.
  absl::StatusOr<ModelVersion> RemoveLabel(std::string_view reference, std::string_view label)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // In one write: "stable" points at the version, "previous" at what NAME meant before (returned,
  // unless it was this one), a "canary" on it goes, it is kept, and what NAME meant before is kept
  // no longer, unless it has a canary's share. NOT_FOUND: deleted meanwhile.
  absl::StatusOr<std::optional<ModelVersion>> Promote(const ModelVersion& model)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // Whether it is loaded into workers that start, with its warmup_sizes. NOT_FOUND: deleted
  // meanwhile.
  absl::Status Keep(const ModelVersion& model) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  absl::Status Release(const ModelVersion& model) ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // NAME may mean this version from now on. Returns what NAME meant before, if it means another one
  // now; when that was kept, the new one is in its place. No effect on one that is not held back.
  absl::StatusOr<std::optional<ModelVersion>> Announce(const ModelVersion& model)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);

  // The version is there no longer; RemoveFiles takes its files, and the next start does, if that
  // was not called. FAILED_PRECONDITION: shipped, labelled, or a job that has not ended starts from
  // it.
  absl::StatusOr<ModelVersion> Delete(std::string_view reference)
      ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  // The files of a version that Delete returned. Failures are logged.
  void RemoveFiles(const ModelVersion& deleted) const;

 private:
  explicit ModelCatalog(Options options);

  absl::Status Load() ABSL_LOCKS_EXCLUDED(change_mutex_, mutex_);
  std::shared_ptr<const ModelTable> Table() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Puts a changed copy in the place of the table.
  void Change(absl::FunctionRef<void(ModelTable&)> change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  void AddPublished(const std::vector<store::ModelRecord>& records, ModelTable& table)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void AddShipped(ModelTable& table) const;
  // One above every version of `name` that is or ever was.
  std::uint32_t NextVersion(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Stages, records and finishes a new version of the job, or of none.
  absl::StatusOr<std::uint32_t> MakeVersion(const std::string& name, std::string_view job_id,
                                            std::uint64_t job_step,
                                            const std::filesystem::path& result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Record(const ModelVersion& model) ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Write(absl::FunctionRef<absl::Status(store::Writer&)> body)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(change_mutex_);
  // FAILED_PRECONDITION: see Delete.
  absl::Status MayDelete(const ModelVersion& model, store::Writer& writer) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  // Changes are one at a time, and never hold up Resolve. Taken before mutex_.
  absl::Mutex change_mutex_;
  PublicationObserver* observer_ ABSL_GUARDED_BY(change_mutex_) = nullptr;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const ModelTable> table_ ABSL_GUARDED_BY(mutex_);
  // The highest version in the store, whether or not its folder is still there.
  std::map<std::string, std::uint32_t> highest_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
