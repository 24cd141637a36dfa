// Brings folders of the server onto this machine's disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "worker/files/blob_cache.h"
#include "worker/files/files_client.h"

namespace atelier::worker {

struct WantedFolder {
  std::string name;              // of WorkerFiles
  std::filesystem::path target;  // made if need be
  // Of all paths in the folder, those that are wanted; null: all.
  std::function<std::vector<RemoteFile>(std::vector<RemoteFile>)> choose;
};

// What lies in the cache is taken from there, the rest is fetched into it. For one use, by one
// thread.
class FolderFetch {
 public:
  struct Options {
    int threads = 8;  // that fetch: small files cost a round trip each
    // A call that the server does not answer is made again after the first, and after further
    // failures after doubled delays up to the second, as long as the third passes without a byte.
    absl::Duration backoff_min = absl::Milliseconds(200);
    absl::Duration backoff_max = absl::Seconds(10);
    absl::Duration patience = absl::Minutes(10);
    // Files that were listed and are gone, or others, when they are read: the folders are listed
    // again after this, and after further such failures after doubled delays.
    absl::Duration relist_pause = absl::Seconds(1);
    absl::Duration log_interval = absl::Seconds(10);
  };

  // All outlive the fetch.
  FolderFetch(FilesClient& client, BlobCache& cache, WorkFolder& work, Options options)
      : client_(client), cache_(cache), work_(work), options_(options) {}

  // Every file of the folders lies in its target afterwards, size and SHA-256 checked.
  // CANCELLED: the client was cancelled; DATA_LOSS: a file comes damaged, or they change all the
  // time; NOT_FOUND: the server has no such folder any more; INVALID_ARGUMENT: it tells of paths
  // that lead out of the folder; RESOURCE_EXHAUSTED: they do not fit into the cache, or the disk is
  // full; UNAVAILABLE: the server cannot be reached; PERMISSION_DENIED: the session has ended, or
  // has no such folder. Those of this machine are told as OnWorker (worker_errors.h) does.
  absl::Status Run(const std::vector<WantedFolder>& folders);

 private:
  // One content, and where it goes.
  struct Item {
    Blob blob;
    std::string folder;  // where the server has it
    std::string path;
    std::vector<std::filesystem::path> targets;
  };

  absl::Status RunOnce(const std::vector<WantedFolder>& folders);
  absl::StatusOr<std::vector<Item>> ListAll(const std::vector<WantedFolder>& folders);
  absl::StatusOr<std::vector<Item>> TakeFromCache(std::vector<Item> items);
  absl::Status FetchItem(const Item& item);
  absl::Status ReadRest(const Item& item, BlobWriter& writer);
  absl::Status FetchOnce(const Item& item);
  // Calls `work` until it is answered. `progress` grows with what it gets done in vain calls, too.
  absl::Status Patiently(const std::function<absl::Status()>& work,
                         const std::function<std::uint64_t()>& progress) const;
  // Runs `work` for 0..count-1 on several threads; the first error ends it.
  absl::Status InThreads(std::size_t count, const std::function<absl::Status(std::size_t)>& work);
  void Arrived(const Item& item) ABSL_LOCKS_EXCLUDED(mu_);

  FilesClient& client_;
  BlobCache& cache_;
  WorkFolder& work_;
  const Options options_;

  struct Tally {
    std::size_t files = 0;
    std::uint64_t bytes = 0;
  };
  Tally all_;  // that are to be fetched
  // The server's files are no longer what was listed, or some come damaged.
  std::atomic<bool> changed_ = false;
  absl::Mutex mu_;
  Tally here_ ABSL_GUARDED_BY(mu_);
  absl::Time logged_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace atelier::worker
