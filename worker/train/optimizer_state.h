// Adam's moments as named tensors, so that they travel in the same file as the weights.
#pragma once

#include <torch/nn/module.h>
#include <torch/optim/adam.h>

#include <string>

#include "absl/status/status.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// Adds weights ("PREFIX.NAME") and moments ("PREFIX.NAME#exp_avg", "#exp_avg_sq", "#step") to
// `state`, as copies.
void SaveNetwork(const std::string& prefix, const torch::nn::Module& network,
                 torch::optim::Adam& optimizer, TensorMap& state);

// The way back. DATA_LOSS: a tensor is missing or has another shape.
absl::Status LoadNetwork(const std::string& prefix, const TensorMap& state,
                         torch::nn::Module& network, torch::optim::Adam& optimizer);

}  // namespace atelier::train
