// The model that a compression starts from.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "worker/models/safetensors.h"
#include "worker/nn/generator.h"

namespace atelier::train {

struct SourceModel {
  ModelSpec spec;
  // With the model's weights, in fp32, channels last, evaluation mode, without gradients.
  std::shared_ptr<nn::Generator> network;
};

// Reads a model's folder. `kind` is the compression's, "distil", "prune" or "quantize".
// INVALID_ARGUMENT naming KIND.model: not a model that this kind can start from
// (common/compress_config.h); DATA_LOSS: its checksum is wrong or its weights do not fit;
// NOT_FOUND.
absl::StatusOr<SourceModel> ReadSourceModel(std::string_view kind,
                                            const std::filesystem::path& directory,
                                            const torch::Device& device);

}  // namespace atelier::train
