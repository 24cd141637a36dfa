// What the small stateful parts of training (pool, schedule, alarms) share to get into a checkpoint
// and back. Pure functions.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/models/safetensors.h"

namespace atelier::train {

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
