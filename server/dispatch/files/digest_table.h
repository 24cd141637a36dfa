// The SHA-256 of files, kept for as long as the files do not change: data sets and weights are
// listed again and again, and reading them takes minutes.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "common/posix_file.h"

namespace atelier::server {

// What tells one state of a file from another.
struct FileFacts {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;

  bool operator==(const FileFacts&) const = default;
};
FileFacts FactsOf(const struct stat& facts);

// Thread-safe. In memory only: 120 bytes a file, 120 MB when it is full.
class DigestTable final {
 public:
  // Half of it is more than one folder holds: else a listing would forget its own beginning.
  static constexpr std::size_t kMostFiles = 1'000'000;

  // Remembers between half of `most` and `most` files, those that were asked for last. `clock`
  // outlives the table and tells the time by which files are changed.
  explicit DigestTable(const Clock& clock, std::size_t most = kMostFiles)
      : clock_(clock), most_(most) {}

  // Lower-case hexadecimal, of the first `facts.size` bytes of an open file; `facts` are from
  // fstat. Reads the file if its digest is not known, as long as it is `wanted`. NOT_FOUND: it has
  // become shorter meanwhile; CANCELLED: it is not wanted any more; INTERNAL: it cannot be read.
  absl::StatusOr<std::string> Of(const Descriptor& file, const FileFacts& facts,
                                 absl::FunctionRef<bool()> wanted) ABSL_LOCKS_EXCLUDED(mutex_);

  // What is known without reading.
  std::optional<std::string> Find(const FileFacts& facts) ABSL_LOCKS_EXCLUDED(mutex_);

  // For a file that was written under this digest just now and that nobody else changes in place.
  void Put(const FileFacts& facts, std::string_view sha256) ABSL_LOCKS_EXCLUDED(mutex_);

  std::size_t size() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct FactsHash {
    std::size_t operator()(const FileFacts& facts) const;
  };
  using Digest = std::array<char, 32>;
  using Digests = std::unordered_map<FileFacts, Digest, FactsHash>;

  void Insert(const FileFacts& facts, const Digest& digest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const std::size_t most_;
  mutable absl::Mutex mutex_;
  // When the first is full it becomes the second, whose files are forgotten.
  Digests recent_ ABSL_GUARDED_BY(mutex_);
  Digests older_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace atelier::server
