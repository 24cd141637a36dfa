// The folders of the server's machine from which clients may have data sets filled.
#pragma once

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

}  // namespace atelier::server
