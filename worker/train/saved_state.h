// What the stateful parts of training share to get into a checkpoint and back. The functions are
// pure.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/models/safetensors.h"
#include "worker/ranks/rank_group.h"

namespace atelier::train {

// A network of a training step, under the name that its tensors have in a checkpoint.
struct NamedNetwork {
  std::string name;
  torch::nn::Module* network = nullptr;
  bool discriminator = false;
};

// A part of a training step that a checkpoint keeps. Not thread-safe.
class Saved {
 public:
  virtual ~Saved() = default;
  // The networks in it that have weights of their own.
  virtual std::vector<NamedNetwork> Networks() { return {}; }
  // From now on it learns with the other ranks, which the group must outlive. Called once, after
  // the networks are on their device.
  virtual void Join(ranks::RankGroup& /*group*/) {}
  // Whether it has skipped an update since this was last asked, because its gradients were not all
  // finite.
  virtual bool TakeSkipped() { return false; }
  // Adds its tensors, copies on the CPU, under names of its own.
  virtual void Save(models::TensorMap& state) const = 0;
  // DATA_LOSS: a tensor is missing or has another shape or type.
  virtual absl::Status Load(const models::TensorMap& state) = 0;
};

// Where a network with parameters computes.
at::Device DeviceOf(const torch::nn::Module& network);

// Detached, contiguous, on the CPU, sharing no memory.
at::Tensor CpuCopy(const at::Tensor& tensor);

// DATA_LOSS: it is missing.
absl::StatusOr<at::Tensor> FindTensor(const models::TensorMap& state, const std::string& name);
// DATA_LOSS: it is missing, or its shape or type is another.
absl::StatusOr<at::Tensor> FindTensor(const models::TensorMap& state, const std::string& name,
                                      at::IntArrayRef shape, at::ScalarType type);

// Numbers as one double tensor [N]: exact for integers below 2^53.
void SaveNumbers(models::TensorMap& state, const std::string& name,
                 const std::vector<double>& numbers);
// DATA_LOSS: missing, or not `count` doubles.
absl::StatusOr<std::vector<double>> LoadNumbers(const models::TensorMap& state,
                                                const std::string& name, std::size_t count);

}  // namespace atelier::train
