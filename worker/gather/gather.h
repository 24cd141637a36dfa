// The role "convert" of atelier-worker, for pictures: one task, then the process ends. Free of
// LibTorch headers.
#pragma once

#include <filesystem>

#include "absl/status/status.h"

namespace atelier::gather {

// Limits this process, does the task in `folder` (common/picture_task.h), and leaves its outcome
// there, which is returned too. INTERNAL: the folder holds no task, or the outcome cannot be
// written.
absl::Status RunPictureTask(const std::filesystem::path& folder);

}  // namespace atelier::gather
