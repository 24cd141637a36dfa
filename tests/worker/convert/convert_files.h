// Files of weights for tests of worker/convert.
#pragma once

#include <torch/csrc/jit/api/module.h>
#include <torch/torch.h>

#include <cstdint>
#include <filesystem>
#include <sstream>
#include <string>

#include "common/architecture.h"
#include "common/files.h"
#include "worker/models/generator_table.h"
#include "worker/models/pattern_table.h"
#include "worker/models/safetensors.h"
#include "worker/models/torch_pickle_writer.h"
#include "worker/models/weights.h"

namespace atelier::convert {

inline constexpr std::uint64_t kMaxFileBytes = 64u << 20;

inline std::string Golden(const std::string& name) {
  return ReadFile(std::filesystem::path(ATELIER_SOURCE_DIR) / "tests/golden" / name, kMaxFileBytes)
      .value();
}

inline models::TensorMap Weights(const Architecture& architecture) {
  auto network = models::MakeGenerator(architecture).value();
  network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(7));
  return models::CollectWeights(*network);
}

inline models::TensorMap DcganWeights(int latent_size) {
  auto network =
      models::MakePatternGenerator(
          {.generator = "dcgan", .base_channels = 2, .latent_size = latent_size, .image_size = 64},
          {})
          .value();
  network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(7));
  return models::CollectWeights(*network);
}

inline Architecture Resnet() {
  return {.generator = "resnet-1", .base_channels = 4, .norm = "instance"};
}

inline std::string Pth(const models::TensorMap& tensors) {
  return models::SerializeTorchPickle(tensors).value();
}
inline std::string Safetensors(const models::TensorMap& tensors,
                               const models::Metadata& metadata = {}) {
  return models::SerializeSafetensors(tensors, metadata).value();
}

// A program whose forward has this body.
inline std::string Program(const std::string& body) {
  torch::jit::Module module("generator");
  module.define("def forward(self, x: Tensor) -> Tensor:\n" + body + "\n");
  std::ostringstream file;
  module.save(file);
  return file.str();
}

}  // namespace atelier::convert
