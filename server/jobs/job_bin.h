// Jobs that are done with. All of a job goes or none of it: its folder is renamed into a folder of
// this room's own and its row and events are deleted in the same transaction, so that after a crash
// the next start either puts the folder back or finds nobody whose it is.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/store/store.h"

namespace atelier::server {

// Thread-safe; methods block on the store and the disk.
class JobBin final {
 public:
  // `store` outlives the object. `jobs_directory` exists.
  JobBin(store::Store& store, std::filesystem::path jobs_directory)
      : store_(store), jobs_directory_(std::move(jobs_directory)) {}

  // Call it before all else: undoes deletions that a crash has left half done. Errors of the store.
  absl::Status Recover() ABSL_LOCKS_EXCLUDED(mutex_);

  // The job is gone when this returns OK; its files take no name any more, but room until Empty.
  // NOT_FOUND; FAILED_PRECONDITION: it has not ended, or a job that has not ended is to start from
  // its checkpoint; RESOURCE_EXHAUSTED with a delay: `has_trainer` says that a trainer of it is
  // alive, which is asked once its end is known; errors of the store and of DiskStatus.
  absl::Status Delete(const std::string& job_id, absl::FunctionRef<bool()> has_trainer)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Removes the files of one deleted job. False: there are no more.
  bool Empty() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::filesystem::path Folder() const { return jobs_directory_ / ".deleted"; }
  // Takes the job's folder, if it has one, to `to`; on the disk when it returns OK.
  absl::Status PutIn(const std::string& job_id, const std::filesystem::path& to) const;
  // What cannot be put back stays, for the next server to try again.
  void PutBack(const std::filesystem::path& from, std::string_view job_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // One that may be emptied; empty: there is none.
  std::filesystem::path Next() ABSL_LOCKS_EXCLUDED(mutex_);

  store::Store& store_;
  const std::filesystem::path jobs_directory_;
  absl::Mutex mutex_;  // held while a folder and its row do not agree
  // What the disk gives neither up nor back.
  std::set<std::filesystem::path> stuck_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
