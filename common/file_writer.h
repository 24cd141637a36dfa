// A file that comes piece by piece and is there whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/posix_file.h"

namespace atelier {

// Not thread-safe. Methods block on the disk. RESOURCE_EXHAUSTED: disk full or quota reached;
// PERMISSION_DENIED: read-only; INTERNAL: anything else. The message holds the file's own name,
// never its folder.
class FileWriter final {
 public:
  // Writes to a temporary name beside `path`, hidden by a leading dot.
  static absl::StatusOr<std::unique_ptr<FileWriter>> Create(const std::filesystem::path& path);
  // Removes what was written, unless it was committed.
  ~FileWriter();

  absl::Status Append(std::string_view bytes);
  // Flushes the file to the disk, gives it its name and flushes the folder. After a crash at any
  // instant `path` holds either the old or the new contents. The last call.
  absl::Status Commit();

  std::uint64_t bytes() const { return bytes_; }  // appended

 private:
  FileWriter(std::filesystem::path path, std::filesystem::path temporary, Descriptor file);

  const std::filesystem::path path_;
  const std::filesystem::path temporary_;
  const Descriptor file_;
  std::uint64_t bytes_ = 0;
  bool committed_ = false;
};

}  // namespace atelier
