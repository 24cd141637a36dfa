// The data sets that clients make: created, changed and deleted as wholes. A set is a folder below
// <data-dir>/datasets with a dataset.json in it; what is hidden there is this room's own.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "server/datasets/dataset_catalog.h"
#include "server/datasets/dataset_limits.h"
#include "server/store/disk_room.h"

namespace atelier::server {

// A job that has not ended and names a data set.
struct DatasetUse {
  std::string job_id;
  bool begun = false;  // it has had a worker: its checkpoints remember the set's pictures
};
using FindDatasetUses =
    std::function<absl::StatusOr<std::vector<DatasetUse>>(std::string_view dataset)>;

// Thread-safe; methods block on the disk.
class DatasetKeeper final {
 public:
  struct Options {
    const DatasetCatalog* catalog = nullptr;  // of the same folder; outlives the object
    std::filesystem::path directory;          // <data-dir>/datasets; exists
    DatasetLimits limits;
    FindDatasetUses uses;
    // Of the disk of `directory`; outlives the object. Null: nobody else takes room there.
    DiskRoom* room = nullptr;
    Clock* clock = &SystemClock();  // outlives the object
  };

  // Finishes or undoes what a crash has left half way. Errors of DiskStatus.
  static absl::StatusOr<std::unique_ptr<DatasetKeeper>> Create(Options options);

  // `facts.created` is set here. INVALID_ARGUMENT; ALREADY_EXISTS; LimitReached; disk full.
  absl::StatusOr<Dataset> CreateSet(const std::string& name, DatasetFacts facts);

  // The folder `made`, on the same file system, becomes the set of this name, whole or not at all.
  // `job`: whose it is; the set that it has made already is no error. INVALID_ARGUMENT;
  // ALREADY_EXISTS; LimitReached; errors of DiskStatus.
  absl::Status AddSet(const std::string& name, const std::string& job,
                      const std::filesystem::path& made, DatasetFacts facts)
      ABSL_LOCKS_EXCLUDED(names_mutex_);

  // NOT_FOUND; FAILED_PRECONDITION: read-only, being changed, or named by a job that has not ended.
  absl::Status DeleteSet(std::string_view name);

  // The set, if it may be added to now. NOT_FOUND; FAILED_PRECONDITION: read-only, or a begun job
  // learns from it.
  absl::StatusOr<Dataset> FindChangeable(std::string_view name) const;

  // Room for new pictures that is nobody else's until it is destroyed.
  class Promise final {
   public:
    ~Promise() { keeper_.promised_ -= bytes_; }
    Promise(const Promise&) = delete;
    Promise& operator=(const Promise&) = delete;

    std::uint64_t bytes() const { return bytes_; }

   private:
    friend class DatasetKeeper;
    Promise(DatasetKeeper& keeper, std::uint64_t bytes) : keeper_(keeper), bytes_(bytes) {}

    DatasetKeeper& keeper_;
    const std::uint64_t bytes_;
  };
  // For `bytes`, or for as many as limits().max_total_bytes leaves.
  std::unique_ptr<Promise> PromiseUpTo(std::uint64_t bytes) ABSL_LOCKS_EXCLUDED(names_mutex_);

  // The only one that changes a set until it is destroyed.
  class Change final {
   public:
    ~Change();
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

    const Dataset& set() const { return set_; }
    // Puts the folder `made`, on the same file system, in the set's place, in one step: whoever
    // opens a file of the set finds all of the old or all of the new ones. `upload`: the key of
    // the upload that it comes from, whose promised bytes are given up for it; empty: none.
    // `promise`: what else was promised for it, likewise; null: nothing.
    // FAILED_PRECONDITION: a job that learns from it has begun meanwhile; LimitReached: others took
    // the room meanwhile; errors of DiskStatus.
    absl::StatusOr<Dataset> Publish(const std::filesystem::path& made, const std::string& upload,
                                    std::unique_ptr<Promise> promise = nullptr);

   private:
    friend class DatasetKeeper;
    Change(DatasetKeeper& keeper, Dataset set) : keeper_(keeper), set_(std::move(set)) {}

    DatasetKeeper& keeper_;
    const Dataset set_;
  };
  // Waits while another one changes the set. Errors of FindChangeable; CANCELLED: `stop` was
  // requested.
  absl::StatusOr<std::unique_ptr<Change>> BeginChange(std::string_view name,
                                                      const std::stop_token& stop)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const DatasetCatalog& catalog() const { return *options_.catalog; }
  const DatasetLimits& limits() const { return options_.limits; }
  // What counts for limits().max_total_bytes: the pictures of all sets that were made here, and
  // what uploads that are not done, but for the upload of this key, and Promises were promised.
  std::uint64_t UsedBytes(const std::string& but_for_upload) const;
  // The disk's room.
  DiskRoom& room() { return options_.room == nullptr ? own_room_ : *options_.room; }
  // Calls `make`, which promises `bytes` to an upload by making its folder, if all sets have room
  // for them. LimitReached; errors of `make`.
  absl::Status Reserve(std::uint64_t bytes, absl::FunctionRef<absl::Status()> make)
      ABSL_LOCKS_EXCLUDED(names_mutex_);

 private:
  explicit DatasetKeeper(Options options)
      : options_(std::move(options)), own_room_(options_.directory) {}

  absl::Status Recover() const;
  std::filesystem::path Work() const { return options_.directory / ".work"; }
  // NOT_FOUND, FAILED_PRECONDITION: it is not one of ours.
  absl::StatusOr<Dataset> FindOwn(std::string_view name) const;
  absl::Status CheckUses(std::string_view name, bool begun_only) const;
  absl::Status CheckRoomForSet() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(names_mutex_);
  // Whether the folder `made` may become the set `old`, or a new one; `upload` as in UsedBytes.
  absl::Status CheckMade(const std::filesystem::path& made, const Dataset* old,
                         const std::string& upload) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(names_mutex_);
  // Returns where the old folder lies then.
  absl::StatusOr<std::filesystem::path> Replace(const std::filesystem::path& made,
                                                const std::string& name) const;
  void EndChange(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  DiskRoom own_room_;
  std::atomic<std::uint64_t> promised_ = 0;
  absl::Mutex mutex_;
  // Held while sets come, change and go, and while room is promised.
  absl::Mutex names_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  std::set<std::string, std::less<>> changing_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
