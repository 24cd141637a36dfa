// What the families that make pictures from pictures share: the generator that a job's
// configuration asks for, and the sums of its losses.
#pragma once

#include <ATen/core/Generator.h>

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/model_spec.h"
#include "common/train_config.h"
#include "worker/nn/generator.h"
#include "worker/train/learner.h"

namespace atelier::train {

// With fresh weights from `random`, and with dropout where its layout has some. INVALID_ARGUMENT
// naming the option: no such generator.
absl::StatusOr<std::shared_ptr<nn::Generator>> MakePictureGenerator(const TrainConfig& config,
                                                                    const at::Generator& random,
                                                                    bool dropout = false);

// Sets tier and architecture of model.json.
void DescribePictureGenerator(const TrainConfig& config, ModelSpec& spec);

LearnerOptions GeneratorOptions(const TrainConfig& config);

// float [N, 3, S, S] in [-1, 1] → the same in fp32, picture by picture, without gradients and in
// evaluation mode: for sample grids.
torch::Tensor Restyle(nn::Generator& generator, const torch::Tensor& pictures, Precision precision);

// Scalars by name.
using Losses = std::map<std::string, torch::Tensor>;

torch::Tensor Sum(const Losses& losses);
// Adds `share` times each loss, and their sum as "total", to `values`.
void AddValues(const Losses& losses, double share, std::map<std::string, double>& values);

}  // namespace atelier::train
