// What a job starts from: the model or the checkpoint of another job that TrainSpec.init_from
// names, or the model that is compressed.
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

// The folder of the model that a compression is of. NOT_FOUND: no such model; INVALID_ARGUMENT
// naming KIND.model: not one that this kind can start from; DATA_LOSS: its model.json is damaged.
// Reads that file.
absl::StatusOr<std::filesystem::path> FindCompressionSource(const ModelRegistry& models,
                                                            const TrainConfig& config);

}  // namespace atelier::server
