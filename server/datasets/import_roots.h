// The folders of the server's machine from which clients may have data sets filled.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier::server {

// The first root that has `folder`, a path relative to it. Early and for the sentence only: whoever
// reads the folder walks it again without following links (worker/gather/sources.h).
// INVALID_ARGUMENT naming `folder`: empty, absolute, with ".." or control characters, or it is, or
// lies behind, a link. NOT_FOUND: no root has it. FAILED_PRECONDITION: there are no roots. Reads
// the disk.
absl::StatusOr<std::filesystem::path> FindImportRoot(
    const std::vector<std::filesystem::path>& roots, std::string_view folder);

// The size of the pictures in a folder and in its folders, one level; a guess for who promises room
// to them. Follows no link to a folder, looks at `max_files` entries at most. Unit: bytes.
std::uint64_t PictureBytesIn(const std::filesystem::path& folder, std::uint64_t max_files);

}  // namespace atelier::server
