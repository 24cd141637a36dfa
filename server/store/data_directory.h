// The folder that holds all that a server knows, in the layout of design section 4.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier::server::store {

// The layout that this program writes; kept in the file FORMAT.
inline constexpr int kDataFormat = 1;

// Holds the lock of the folder as long as it lives (and the lock ends with the process, however
// that ends). Immutable, thread-safe.
class DataDirectory {
 public:
  // Creates the folder and what belongs in it when missing.
  // FAILED_PRECONDITION: another server uses it, its FORMAT is newer or unreadable, or it is no
  // folder; PERMISSION_DENIED: read-only; RESOURCE_EXHAUSTED: full. These sentences name the
  // folder: they are for the operator, not for clients.
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(const std::filesystem::path& path);

  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  // Absolute.
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path database() const { return path_ / "atelier.db"; }
  std::filesystem::path models() const { return path_ / "models"; }
  std::filesystem::path jobs() const { return path_ / "jobs"; }
  std::filesystem::path datasets() const { return path_ / "datasets"; }
  std::filesystem::path transfers() const { return path_ / "transfers"; }

 private:
  DataDirectory(std::filesystem::path path, int lock_fd);

  const std::filesystem::path path_;
  const int lock_fd_;
};

}  // namespace atelier::server::store
