#include "tests/worker/metrics/test_pictures.h"

#include <gtest/gtest.h>
#include <torch/script.h>

#include "common/files.h"
#include "worker/image/codec.h"

namespace atelier::metrics {

torch::Tensor TestPicture(std::int64_t height, std::int64_t width, std::int64_t kind) {
  const torch::Tensor y = torch::arange(height).view({-1, 1, 1});
  const torch::Tensor x = torch::arange(width).view({1, -1, 1});
  const torch::Tensor c = torch::arange(3).view({1, 1, -1});
  const torch::Tensor bend = torch::floor_divide(x * y, 31 + kind);
  const torch::Tensor wave =
      torch::remainder((kind + 3) * x + (2 * kind + 1) * y + 40 * c + bend, 510);
  return torch::where(wave > 255, 510 - wave, wave).to(torch::kByte).contiguous();
}

void WritePng(const std::filesystem::path& path, const torch::Tensor& picture) {
  std::filesystem::create_directories(path.parent_path());
  const std::string png =
      image::EncodeImage(picture, torch::Tensor(), {.format = ImageFormat::kPng}).value();
  ASSERT_TRUE(WriteFileAtomically(path, png).ok());
}

void WriteTorchScript(const std::filesystem::path& path, const std::string& body) {
  torch::jit::Module module("Features");
  module.define("def forward(self, x):\n  " + body + "\n");
  module.save(path.string());
}

std::filesystem::path FeatureWeights(int variant) {
  return std::filesystem::path(ATELIER_BINARY_DIR) / "share/atelier/features" /
         ("efficientnet_lite" + std::to_string(variant) + ".pth");
}

}  // namespace atelier::metrics
