// A folder of the cache that belongs to one job or one load, as long as it runs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/posix_file.h"

namespace atelier::worker {

// Thread-safe. A file beside it, NAME.lock, is locked by the process that it belongs to and tells
// how many bytes that process is still to fetch; a folder whose lock nobody has is left over from a
// process that died.
class WorkFolder {
 public:
  // A new folder in `parent`, which exists. The caller holds the lock of the cache, so that nobody
  // takes it for a dead one before it is locked.
  static absl::StatusOr<std::unique_ptr<WorkFolder>> Create(const std::filesystem::path& parent);
  // Removes it with all that is in it.
  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // What is still to be fetched into it. Unit: bytes.
  absl::Status Reserve(std::uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // That many of them are there.
  void Arrived(std::uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  // What all folders in `parent` but `own` have reserved. Unit: bytes.
  static std::uint64_t ReservedBy(const std::filesystem::path& parent, const WorkFolder& own);
  // Removes the folders of processes that died. The caller holds the lock of the cache.
  static void RemoveDead(const std::filesystem::path& parent);

 private:
  WorkFolder(std::filesystem::path path, Descriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  absl::Status Note() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::filesystem::path path_;
  const Descriptor lock_;
  absl::Mutex mu_;
  std::uint64_t reserved_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace atelier::worker
