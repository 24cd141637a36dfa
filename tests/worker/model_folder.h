// A model's folder for tests that load one.
#pragma once

#include <torch/nn/module.h>

#include <filesystem>

#include "common/check.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"

namespace atelier::test {

// Writes weights.safetensors with the weights of `network`, and model.json with `spec`, whose
// checksum, bytes and number of parameters are set to theirs. Makes the folder. Aborts the test
// program when it cannot.
inline void WriteModelFolder(const std::filesystem::path& folder, const torch::nn::Module& network,
                             ModelSpec& spec) {
  std::filesystem::create_directories(folder);
  const std::filesystem::path file = folder / "weights.safetensors";
  ATELIER_CHECK(models::WriteSafetensors(file, models::CollectWeights(network), {}).ok());
  spec.parameters = models::CountParameters(network);
  spec.weights_sha256 = Sha256HexOfFile(file).value();
  spec.weights_bytes = std::filesystem::file_size(file);
  ATELIER_CHECK(WriteModelSpec(folder, spec).ok());
}

}  // namespace atelier::test
