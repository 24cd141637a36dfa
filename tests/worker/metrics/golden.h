// What tests/golden/make_metrics.py computed in Python.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>

#include "worker/models/safetensors.h"

namespace atelier::metrics {

inline torch::Tensor Golden(const std::string& name) {
  static const models::TensorMap expected =
      models::ReadSafetensors(
          std::filesystem::path(ATELIER_SOURCE_DIR) / "tests/golden/metrics.safetensors", 1u << 20)
          .value()
          .tensors;
  return expected.at(name);
}

}  // namespace atelier::metrics
