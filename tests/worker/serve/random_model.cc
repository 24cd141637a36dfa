#include "tests/worker/serve/random_model.h"

#include <ATen/CPUGeneratorImpl.h>

#include "common/check.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "worker/models/generator_table.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"

namespace atelier::test {

std::string WriteRandomModel(const std::filesystem::path& directory, std::uint64_t seed,
                             const std::string& generator) {
  std::filesystem::create_directories(directory);
  auto network = models::MakeGenerator(generator);
  ATELIER_CHECK(network.ok());
  (*network)->InitializeWeights(at::detail::createCPUGenerator(seed));
  const std::filesystem::path file = directory / "weights.safetensors";
  ATELIER_CHECK(models::WriteSafetensors(file, models::CollectWeights(**network), {}).ok());
  const auto sha256 = Sha256HexOfFile(file);
  ATELIER_CHECK(sha256.ok());

  ModelSpec spec;
  spec.family = "faststyle";
  spec.tier = generator == "lite" ? "lite" : generator == "resnet-6" ? "base" : "quality";
  spec.architecture.generator = generator;
  spec.parameters = models::CountParameters(**network);
  spec.weights_sha256 = *sha256;
  spec.weights_bytes = std::filesystem::file_size(file);
  ATELIER_CHECK(WriteModelSpec(directory, spec).ok());
  ATELIER_CHECK(WriteFileAtomically(directory / "card.md", "# Random weights, for tests\n").ok());
  // The smallest thing that starts like a JPEG: nothing in the service decodes previews.
  ATELIER_CHECK(WriteFileAtomically(directory / "preview.jpg", "\xff\xd8\xff\xd9").ok());
  return *sha256;
}

}  // namespace atelier::test
