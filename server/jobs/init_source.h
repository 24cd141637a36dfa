// What TrainSpec.init_from names: a model of this server, or a checkpoint of one of its jobs.
#pragma once

#include <filesystem>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/models/model_registry.h"

namespace atelier::server {

// The folder of the model "NAME" or "NAME@VERSION", or of the checkpoint "job:ID" (the newest one
// of all attempts) or "job:ID@STEP". NOT_FOUND: no such model, job or whole checkpoint;
// INVALID_ARGUMENT naming `train.init_from`: malformed, or a TorchScript program. Reads folder
// listings.
absl::StatusOr<std::filesystem::path> FindInitSource(const ModelRegistry& models,
                                                     const std::filesystem::path& jobs_directory,
                                                     std::string_view init_from);

}  // namespace atelier::server
