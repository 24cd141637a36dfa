// The numbers that reference.py makes: weights and pictures that need not be committed.
#pragma once

#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <string>

namespace atelier::golden {

// Element i is splitmix64(first + i), scaled to [-1, 1) with 24 bits.
inline double Uniform(std::uint64_t i) {
  std::uint64_t z = (i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<double>(z >> 40) / 8388608.0 - 1.0;
}

// Weights for the named shapes, in the order of their names: weights with variance 1 / fan-in,
// biases within 0.1.
inline std::map<std::string, torch::Tensor> Fill(
    const std::map<std::string, std::vector<std::int64_t>>& shapes) {
  std::map<std::string, torch::Tensor> tensors;
  std::uint64_t next = 0;
  for (const auto& [name, shape] : shapes) {
    torch::Tensor tensor = torch::empty(shape);
    const double fan_in = tensor.dim() > 1 ? static_cast<double>(tensor[0].numel()) : 300.0;
    const double scale = std::sqrt(3.0 / fan_in);
    float* values = tensor.data_ptr<float>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i) {
      values[i] = static_cast<float>(Uniform(next++) * scale);
    }
    tensors.emplace(name, tensor);
  }
  return tensors;
}

// [1, 3, H, W] in [-1, 1]: waves.
inline torch::Tensor Picture(std::int64_t height, std::int64_t width) {
  torch::Tensor picture = torch::empty({1, 3, height, width});
  auto values = picture.accessor<float, 4>();
  for (std::int64_t c = 0; c < 3; ++c) {
    for (std::int64_t y = 0; y < height; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        const auto phase = 0.37 * static_cast<double>((c + 1) * y) + 0.23 * static_cast<double>(x) +
                           static_cast<double>(c);
        values[0][c][y][x] = static_cast<float>(std::sin(phase));
      }
    }
  }
  return picture;
}

}  // namespace atelier::golden
