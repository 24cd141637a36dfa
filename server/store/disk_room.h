// Room on the server's disk that is promised to work under way. Free space alone would let two that
// begin at once count on the same bytes, and find out by a full disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace atelier::server {

// Thread-safe. Methods block on the disk.
class DiskRoom final {
 public:
  // What is free on it. Unit: bytes. Errors of DiskStatus.
  using Free = std::function<absl::StatusOr<std::uint64_t>()>;
  // How much of a promise lies on the disk already, so that it is missing from what is free. Called
  // while the promise lives, from any thread.
  using Written = std::function<std::uint64_t()>;

  // The disk of `directory`, or what a test says.
  explicit DiskRoom(const std::filesystem::path& directory);
  explicit DiskRoom(Free free) : free_(std::move(free)) {}

  // Room that is nobody else's until it is destroyed. The DiskRoom outlives it.
  class Hold final {
   public:
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

    std::uint64_t bytes() const { return bytes_; }

   private:
    friend class DiskRoom;
    Hold(DiskRoom& room, std::uint64_t bytes, Written written);

    DiskRoom& room_;
    const std::uint64_t bytes_;
    const Written written_;
    std::list<const Hold*>::iterator place_;
  };

  // RESOURCE_EXHAUSTED with a delay: not so much is free that is not promised, and a little more.
  absl::StatusOr<std::unique_ptr<Hold>> Take(std::uint64_t bytes, Written written)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for as much of it as there is, which may be nothing.
  absl::StatusOr<std::unique_ptr<Hold>> TakeUpTo(std::uint64_t bytes, Written written)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Free, not promised, and not the little that stays free for the rest of the server.
  absl::StatusOr<std::uint64_t> Left() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::unique_ptr<Hold> Add(std::uint64_t bytes, Written written)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Free free_;
  absl::Mutex mutex_;
  std::list<const Hold*> holds_ ABSL_GUARDED_BY(mutex_);
};

// The files below `folder` that no other folder has, too. Unit: bytes. A file that goes meanwhile
// is left out.
std::uint64_t BytesBelow(const std::filesystem::path& folder);

}  // namespace atelier::server
