// One picture of several of a data set.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "common/picture_task.h"

namespace atelier::gather {

// Writes a JPEG of the pictures that can be read, four in a row, each within a square of 192 px on
// white; no file when there is none. Errors of WriteFileAtomically.
absl::Status DrawSample(const SampleTask& task, const std::filesystem::path& file);

}  // namespace atelier::gather
