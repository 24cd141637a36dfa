// The folder of one transfer, below the data directory. Functions block on the disk. Errors are
// those of server/store/disk_status.h.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::server {

// Makes `root`, empty: what a crash left there goes.
absl::Status ClearTransfers(const std::filesystem::path& root);

// A fresh folder below a root, deleted with all that is in it.
class TransferFolder final {
 public:
  static absl::StatusOr<std::unique_ptr<TransferFolder>> Create(const std::filesystem::path& root);
  ~TransferFolder();
  TransferFolder(const TransferFolder&) = delete;
  TransferFolder& operator=(const TransferFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit TransferFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path path_;
};

}  // namespace atelier::server
