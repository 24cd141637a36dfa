// What the tests of this room measure.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <string>

namespace atelier::metrics {

// uint8 [H, W, 3]: the triangle waves of tests/golden/make_metrics.py.
torch::Tensor TestPicture(std::int64_t height, std::int64_t width, std::int64_t kind);

// As a PNG file; its folder is made too.
void WritePng(const std::filesystem::path& path, const torch::Tensor& picture);

// A TorchScript network with this body of `def forward(self, x):`, for example "return x.mean([2,
// 3])".
void WriteTorchScript(const std::filesystem::path& path, const std::string& body);

// Where scripts/install-deps keeps efficientnet_lite{variant}.pth.
std::filesystem::path FeatureWeights(int variant);

}  // namespace atelier::metrics
