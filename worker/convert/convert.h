// The role "convert" of atelier-worker: one conversion, then the process ends. Free of LibTorch
// headers.
#pragma once

#include <filesystem>

#include "absl/status/status.h"

namespace atelier::convert {

// Limits this process, does the task in `folder` (common/convert_task.h), and leaves its outcome
// there, which is returned too. `feature_weights`: see import_model.h. INTERNAL: the folder holds
// no task, or the outcome cannot be written.
absl::Status RunConversion(const std::filesystem::path& folder,
                           const std::filesystem::path& feature_weights);

}  // namespace atelier::convert
