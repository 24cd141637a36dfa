// What PyTorch adds to the names in a weights file. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace atelier::models {

inline constexpr std::string_view kRunningMean = ".running_mean";
inline constexpr std::string_view kRunningVariance = ".running_var";
inline constexpr std::string_view kBatchCount = ".num_batches_tracked";

// Of nn::QuantizedConvolution.
inline constexpr std::string_view kInputScale = ".input_scale";
inline constexpr std::string_view kInputZeroPoint = ".input_zero_point";
inline constexpr std::string_view kWeightScale = ".weight_scale";

// What a norm counts while it is trained.
inline bool IsNormStatistic(std::string_view name) {
  return name.ends_with(kRunningMean) || name.ends_with(kRunningVariance) ||
         name.ends_with(kBatchCount);
}

// Without the "module." of torch.nn.DataParallel.
inline std::string WithoutDataParallel(std::string_view name) {
  constexpr std::string_view kPrefix = "module.";
  return std::string(name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name);
}

}  // namespace atelier::models
