// What a job needs of the server's disk, brought here.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "worker/files/blob_cache.h"
#include "worker/files/files_client.h"
#include "worker/files/folder_fetch.h"

namespace atelier::worker {

// A job as told to a worker that shares no disk with the server, and its folders here, which are
// removed with this.
class RemoteJob {
 public:
  // Fetches all folders that `told` names; blocks meanwhile. In each of its folder fields the part
  // before the first slash is the folder's name for the calls, the rest a path in it. Errors: those
  // of FolderFetch::Run, and INVALID_ARGUMENT for a name that is no path.
  static absl::StatusOr<std::unique_ptr<RemoteJob>> Fetch(const internal::v1::StartJob& told,
                                                          BlobCache& cache, FilesClient& client,
                                                          const FolderFetch::Options& options);

  // The same job with this machine's folders: nobody who runs it needs to know.
  const internal::v1::StartJob& start() const { return start_; }
  // Where the job writes here, and the server's name of that folder.
  const std::filesystem::path& attempt() const { return attempt_; }
  const std::string& attempt_name() const { return attempt_name_; }

 private:
  explicit RemoteJob(std::unique_ptr<WorkFolder> work) : work_(std::move(work)) {}

  const std::unique_ptr<WorkFolder> work_;
  internal::v1::StartJob start_;
  std::filesystem::path attempt_;
  std::string attempt_name_;
};

// Of the folder of an earlier attempt, what training goes on from: whole checkpoints, and what was
// told up to them.
std::vector<RemoteFile> ChooseResumed(std::vector<RemoteFile> files);

}  // namespace atelier::worker
