// Restyling without a generator: the pixels of each picture are optimised within the request. Used
// by the stylizer only.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "worker/infer/stylizer.h"
#include "worker/models/safetensors.h"

namespace atelier::infer {

// The long side of the pictures that are taken. Unit: pixels. At this size an iteration takes
// seconds on a CPU and about 2 GB.
inline constexpr int kMaxGatysSide = 1024;

// A stylizer of nn::GatysTarget, on the CPU or another device, always in FP32. It looks at
// StylizeControls::still_wanted before each iteration. DATA_LOSS: `weights` do not fit, or hold
// settings out of range; UNAVAILABLE: the feature network cannot be read from `feature_weights`.
absl::StatusOr<std::unique_ptr<Stylizer>> MakeGatysStylizer(
    const ModelSpec& spec, const models::TensorMap& weights,
    const std::filesystem::path& feature_weights, c10::Device device);

}  // namespace atelier::infer
