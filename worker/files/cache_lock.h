// Locks between the processes that share a cache's folder.
#pragma once

#include <filesystem>
#include <optional>

#include "absl/status/statusor.h"
#include "common/posix_file.h"

namespace atelier::worker {

// Opens a file, made if need be, and locks it (flock(2)) as long as the descriptor lives; waits for
// whoever has it. Two descriptors of one process exclude each other too. Errors: ErrnoStatus.
absl::StatusOr<Descriptor> LockFile(const std::filesystem::path& path);

// The same for a file that is there, without waiting: nothing when it is not there or somebody has
// it. `writable`: to be written, too.
std::optional<Descriptor> TryLockFile(const std::filesystem::path& path, bool writable = false);

// Whether the file that is open is still the one with this name.
bool IsStillNamed(const Descriptor& file, const std::filesystem::path& path);

}  // namespace atelier::worker
