#include "worker/train/saved_state.h"

#include <torch/types.h>

#include <cstdint>

#include "common/status_macros.h"

namespace atelier::train {

at::Device DeviceOf(const torch::nn::Module& network) {
  return network.parameters().front().device();
}

at::Tensor CpuCopy(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true).contiguous();
}

absl::StatusOr<at::Tensor> FindTensor(const models::TensorMap& state, const std::string& name) {
  const auto it = state.find(name);
  if (it == state.end()) {
    return absl::DataLossError("the checkpoint lacks " + name);
  }
  return it->second;
}

absl::StatusOr<at::Tensor> FindTensor(const models::TensorMap& state, const std::string& name,
                                      at::IntArrayRef shape, at::ScalarType type) {
  ATELIER_ASSIGN_OR_RETURN(at::Tensor tensor, FindTensor(state, name));
  if (tensor.sizes() != shape || tensor.scalar_type() != type) {
    return absl::DataLossError(name + " of the checkpoint has another shape or type");
  }
  return tensor;
}

void SaveNumbers(models::TensorMap& state, const std::string& name,
                 const std::vector<double>& numbers) {
  state[name] = torch::tensor(numbers, torch::kFloat64);
}

absl::StatusOr<std::vector<double>> LoadNumbers(const models::TensorMap& state,
                                                const std::string& name, std::size_t count) {
  ATELIER_ASSIGN_OR_RETURN(
      at::Tensor tensor,
      FindTensor(state, name, {static_cast<std::int64_t>(count)}, torch::kFloat64));
  tensor = tensor.contiguous();
  const auto* first = tensor.const_data_ptr<double>();
  return std::vector<double>(first, first + count);
}

}  // namespace atelier::train
