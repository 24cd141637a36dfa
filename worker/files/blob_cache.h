// Files by their SHA-256 on this machine's disk, up to a bound, for all workers of one folder.
//
//   blobs/aa/SHA256   whole ones, read-only; hard links to them lie in the folders of work/
//   partial/SHA256    begun ones, gone on with when they are needed again
//   work/NAME/        of jobs and loads that run (work_folder.h)
//   lock              held while room is made and folders of work/ come and go
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/posix_file.h"
#include "common/sha256.h"
#include "worker/files/work_folder.h"

namespace atelier::worker {

struct Blob {
  std::string sha256;      // lower-case hexadecimal
  std::uint64_t size = 0;  // bytes

  auto operator<=>(const Blob&) const = default;
};

// A blob on its way into the cache. Not thread-safe. What was written stays for a later try, unless
// another process writes the same blob.
class BlobWriter {
 public:
  ~BlobWriter();
  BlobWriter(const BlobWriter&) = delete;
  BlobWriter& operator=(const BlobWriter&) = delete;

  // How many bytes are there, from earlier tries too.
  std::uint64_t offset() const { return offset_; }

  // RESOURCE_EXHAUSTED: the disk is full; DATA_LOSS: more than its size.
  absl::Status Append(std::string_view bytes);

  // Gives it its name, and links it to `target` first. DATA_LOSS: too short, or of another SHA-256;
  // what was written is thrown away then. The last call.
  absl::Status Commit(const std::filesystem::path& target);

 private:
  friend class BlobCache;
  BlobWriter(Blob blob, std::filesystem::path partial, std::filesystem::path final_path,
             Descriptor file, bool shared)
      : blob_(std::move(blob)),
        partial_(std::move(partial)),
        final_path_(std::move(final_path)),
        file_(std::move(file)),
        shared_(shared) {}
  // Takes over what is there.
  absl::Status TakeUp();
  absl::Status Damaged(std::string_view what);

  const Blob blob_;
  const std::filesystem::path partial_;
  const std::filesystem::path final_path_;
  const Descriptor file_;
  const bool shared_;  // its name is the one that later tries look for
  Sha256 hash_;
  std::uint64_t offset_ = 0;
};

// Thread-safe, and safe between processes. Blocks on the disk. Errors of this machine are told as
// OnWorker (worker_errors.h) does.
class BlobCache {
 public:
  struct Options {
    std::filesystem::path directory;
    std::uint64_t max_bytes = 20ULL << 30U;  // of blobs, whole and begun
  };

  // Makes the folders if need be, for their owner alone, and removes what processes that died left
  // in work/. PERMISSION_DENIED, RESOURCE_EXHAUSTED: the folder cannot be made or written.
  static absl::StatusOr<std::unique_ptr<BlobCache>> Open(Options options);

  absl::StatusOr<std::unique_ptr<WorkFolder>> NewWorkFolder();

  // Whether the blob is here; then it has a second name, `target`, within a work folder, which
  // keeps it from being dropped. It is read and compared with its SHA-256; a damaged one is thrown
  // away and counts as not here. The folder of `target` exists; a file of that name is replaced.
  absl::StatusOr<bool> Link(const Blob& blob, const std::filesystem::path& target);

  // Drops the blobs that were not used for longest, of those that no work folder links, until
  // `missing` fit in; reserves their place for `work`. RESOURCE_EXHAUSTED: they do not fit beside
  // what is in use.
  absl::Status MakeRoom(WorkFolder& work, const std::vector<Blob>& missing);

  // Begins a blob, or goes on with a begun one.
  absl::StatusOr<std::unique_ptr<BlobWriter>> Write(const Blob& blob);

 private:
  explicit BlobCache(Options options) : options_(std::move(options)) {}
  std::filesystem::path PathOf(const Blob& blob) const;
  std::filesystem::path PartialOf(const Blob& blob) const;

  const Options options_;
};

// Gives `file` a second name, replacing what is there; copies it where the disk has no such links
// or no more of them. NOT_FOUND: there is no such file; else the errors of WriteErrno.
absl::Status LinkOrCopy(const std::filesystem::path& file, const std::filesystem::path& target);

}  // namespace atelier::worker
