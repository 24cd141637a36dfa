// One optimiser step of one model family: the part of training that differs between families.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/models/safetensors.h"
#include "worker/nn/generator.h"
#include "worker/train/image_folder.h"

namespace atelier::train {

using models::TensorMap;

// Not thread-safe: owned by the training thread.
class TrainStep {
 public:
  virtual ~TrainStep() = default;

  // Updates all networks once. `content` is float [N, 3, S, S] in [-1, 1]; `step` counts from 0 and
  // keys the step's randomness. Returns the losses by name.
  virtual std::map<std::string, double> Run(const torch::Tensor& content, std::int64_t step) = 0;

  // Adam's step size at the last Run.
  virtual double learning_rate() const = 0;

  // The generator that is the result.
  virtual nn::Generator& generator() = 0;

  // Everything that a bit-equal continuation needs: weights and optimiser moments of all networks.
  virtual TensorMap State() = 0;
  // DATA_LOSS: a tensor is missing or has another shape.
  virtual absl::Status LoadState(const TensorMap& state) = 0;
};

// Makes the step of `config.family`: the explicit table of families. `style` is the style set; it
// is read here and not kept. UNIMPLEMENTED: unknown family; DATA_LOSS, NOT_FOUND: the feature
// network's file is damaged or missing.
absl::StatusOr<std::unique_ptr<TrainStep>> MakeTrainStep(
    const TrainConfig& config, const std::filesystem::path& feature_weights,
    const ImageFolder& style);

}  // namespace atelier::train
