// Files that are written whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier {

// Writes `contents` to a temporary name beside `path`, flushes it to the disk, renames it over
// `path` and flushes the folder. After a crash at any instant `path` holds either the old or the
// new contents. RESOURCE_EXHAUSTED: disk full or quota reached; PERMISSION_DENIED: read-only;
// INTERNAL: anything else. The message holds the file's own name, never its folder.
absl::Status WriteFileAtomically(const std::filesystem::path& path, std::string_view contents);

// NOT_FOUND; RESOURCE_EXHAUSTED when larger than `max_bytes`; INTERNAL.
absl::StatusOr<std::string> ReadFile(const std::filesystem::path& path, std::uint64_t max_bytes);

// Flushes the names in a folder to the disk (after renames in it).
absl::Status SyncDirectory(const std::filesystem::path& directory);

// Removes a folder that counts as whole while the file `vouching` lies in it: that file first, and
// from the disk, so that after a crash at any instant nobody takes the rest for whole. OK where
// there is no such folder. PERMISSION_DENIED: read-only; INTERNAL.
absl::Status RemoveVouchedFolder(const std::filesystem::path& folder, std::string_view vouching);

// Lower-case hexadecimal SHA-256.
std::string Sha256Hex(std::string_view bytes);
absl::StatusOr<std::string> Sha256HexOfFile(const std::filesystem::path& path);

// Where this program lies: its executable's folder, and <prefix>/share/atelier beside it.
std::filesystem::path ExecutableDirectory();
std::filesystem::path ShareDirectory();

}  // namespace atelier
