// Weights by name: between a network and a map of tensors.
#pragma once

#include <torch/nn/module.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/models/safetensors.h"

namespace atelier::models {

// Copies `tensors` into the parameters and buffers of `module` with the same names, converting
// between floating-point types; integers must be of the same type. A leading "module."
// (torch.nn.DataParallel) is dropped, and so are running statistics that the module does not keep
// (instance norms of checkpoints older than PyTorch 0.4). DATA_LOSS, in one sentence: names that
// are missing, shapes or types that differ, scales of int8 convolutions that are not above 0 and,
// with `strict`, names that the module does not have. The module is unchanged then.
absl::Status LoadWeights(torch::nn::Module& module, const TensorMap& tensors, bool strict);

// What LoadMatching did, by name.
struct MatchReport {
  std::size_t loaded = 0;
  // Of these: the ones of several dimensions. Counters, and a bias of three colours, fit networks
  // of any width and mean nothing alone.
  std::size_t kernels = 0;
  std::vector<std::string> missing;    // of the module, not in the file
  std::vector<std::string> misshapen;  // of another shape or type in the file
  std::vector<std::string> unused;     // of the file, not in the module

  // "40 of 46 tensors taken over; not in the file: ...; ..."; the first few of each.
  std::string Sentence() const;
};

// Copies what has equal names, shapes and types and leaves the rest of `module` as it is: the start
// from another model's weights.
MatchReport LoadMatching(torch::nn::Module& module, const TensorMap& tensors);

// All parameters and buffers, detached; they share memory with the module (a trainer that goes on
// must clone).
TensorMap CollectWeights(const torch::nn::Module& module);

// Elements of all parameters, without buffers.
std::uint64_t CountParameters(const torch::nn::Module& module);

}  // namespace atelier::models
