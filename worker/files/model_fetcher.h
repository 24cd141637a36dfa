// Models of a server whose disk this worker does not share.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "worker/files/blob_cache.h"
#include "worker/files/files_client.h"
#include "worker/files/folder_fetch.h"

namespace atelier::worker {

// Thread-safe.
class ModelFetcher {
 public:
  // The cache outlives the fetcher.
  explicit ModelFetcher(BlobCache& cache, FolderFetch::Options options = {})
      : cache_(cache), options_(options) {}

  // A model's folder on this machine, there as long as this lives.
  class Folder {
   public:
    explicit Folder(std::unique_ptr<WorkFolder> work) : work_(std::move(work)) {}
    std::filesystem::path path() const { return work_->path() / "model"; }

   private:
    const std::unique_ptr<WorkFolder> work_;
  };

  // From now on files come by `client`, of the present session; null: there is none. What was being
  // fetched by the one before ends with ABORTED.
  void Use(std::shared_ptr<FilesClient> client) ABSL_LOCKS_EXCLUDED(mu_);

  // `name`: what the server calls the folder. Blocks while it is fetched. ABORTED: this worker
  // cannot fetch it now; NOT_FOUND: the server has it no more; DATA_LOSS, RESOURCE_EXHAUSTED: as of
  // FolderFetch.
  absl::StatusOr<std::unique_ptr<Folder>> Fetch(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  BlobCache& cache_;
  const FolderFetch::Options options_;
  absl::Mutex mu_;
  std::shared_ptr<FilesClient> client_ ABSL_GUARDED_BY(mu_);
};

}  // namespace atelier::worker
