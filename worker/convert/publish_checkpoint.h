// A job's checkpoint becomes a model's folder, written by what writes a job's result. Not
// thread-safe for one folder.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "common/convert_task.h"

namespace atelier::convert {

// Writes folder/kConvertModel and loads it the way a serving worker does. `feature_weights`:
// EfficientNet-Lite0 (.pth). Errors: those of train::WriteCheckpointModel and infer::LoadModel;
// INVALID_ARGUMENT: settings that this release does not know.
absl::Status PublishCheckpoint(const PublishTask& task, const std::filesystem::path& folder,
                               const std::filesystem::path& feature_weights);

}  // namespace atelier::convert
