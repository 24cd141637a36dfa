// What a worker without the server's disk changes in the folder of its attempt, file after file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "atelier/internal/v1/worker_files.pb.h"
#include "common/posix_file.h"
#include "common/sha256.h"
#include "server/dispatch/files/digest_table.h"

namespace atelier::server {

// One file that is being written. Methods block on the disk; not thread-safe.
class IncomingFile {
 public:
  virtual ~IncomingFile() = default;
  virtual absl::Status Append(std::string_view bytes) = 0;
  // What was appended is on the disk afterwards. Without this call it is taken back.
  virtual absl::Status Commit() = 0;
};

// Not thread-safe. Methods block on the disk. Errors are those of WorkerFiles.WriteFiles:
// INVALID_ARGUMENT (a message or a path that makes no sense), FAILED_PRECONDITION (`append_at`),
// DATA_LOSS, ABORTED, RESOURCE_EXHAUSTED (the disk is full or read-only), INTERNAL. After one there
// is nothing more to be written by this object.
class FolderWriter final {
 public:
  // Unit: bytes.
  static constexpr std::uint64_t kMostFileBytes = 16ULL << 30U;
  static constexpr std::size_t kMostChunkBytes = 1U << 20U;

  struct Options {
    std::filesystem::path folder;
    DigestTable* digests = nullptr;  // learns what was written; outlives the writer
    // Whether the folder is still the one to be written; asked before each change.
    std::function<bool()> current;
  };

  explicit FolderWriter(Options options) : options_(std::move(options)) {}

  // The messages after the first one, in their order. What one of them completes is on the disk
  // when this returns.
  absl::Status Apply(const internal::v1::FileWrite& write);
  // No message follows. INVALID_ARGUMENT: a file has begun and is not complete; it is taken back.
  absl::Status Finish();

  std::uint64_t files() const { return files_; }  // complete

 private:
  struct Incoming {
    internal::v1::FileHeader header;
    std::unique_ptr<IncomingFile> file;
    Sha256 sha256;
    std::uint64_t left = 0;
  };

  absl::Status Begin(const internal::v1::FileHeader& header);
  absl::Status Append(std::string_view bytes);
  absl::Status Commit();
  absl::Status Remove(std::string_view path);
  absl::Status CheckCurrent() const;

  const Options options_;
  std::optional<Incoming> incoming_;
  std::uint64_t files_ = 0;
};

}  // namespace atelier::server
