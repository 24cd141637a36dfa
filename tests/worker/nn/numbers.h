// Numbers that make_pattern_networks.py makes, too, and seeded generators.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "tests/golden/reference.h"

namespace atelier::nn {

// Uniform in [-1, 1): golden::Uniform from `first` on.
inline torch::Tensor Numbers(std::uint64_t first, const std::vector<std::int64_t>& shape) {
  torch::Tensor numbers = torch::empty(shape);
  float* values = numbers.data_ptr<float>();
  for (std::int64_t i = 0; i < numbers.numel(); ++i) {
    values[i] = static_cast<float>(golden::Uniform(first + static_cast<std::uint64_t>(i)));
  }
  return numbers;
}

inline at::Generator Random(std::uint64_t seed) {
  return at::make_generator<at::CPUGeneratorImpl>(seed);
}

}  // namespace atelier::nn
