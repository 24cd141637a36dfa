// The sample grid: a fixed handful of photographs over their results.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/nn/generator.h"
#include "worker/train/image_folder.h"

namespace atelier::train {

// Centre crops uint8 [S, S, 3] of up to `count` pictures, chosen by the seed and the same through
// the whole run.
absl::StatusOr<std::vector<torch::Tensor>> PickSamples(const TrainConfig& config,
                                                       const ImageFolder& content, int count);

// Runs the generator (without gradients, in `precision`) on each picture and returns the grid as
// JPEG, at most 256 KiB.
absl::StatusOr<std::string> SampleGrid(nn::Generator& generator,
                                       const std::vector<torch::Tensor>& pictures,
                                       Precision precision);

}  // namespace atelier::train
