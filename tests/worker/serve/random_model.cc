#include "tests/worker/serve/random_model.h"

#include <ATen/CPUGeneratorImpl.h>

#include "common/check.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "tests/worker/model_folder.h"
#include "worker/models/generator_table.h"

namespace atelier::test {

std::string WriteRandomModel(const std::filesystem::path& directory, std::uint64_t seed,
                             const std::string& generator) {
  auto network = models::MakeGenerator(generator);
  ATELIER_CHECK(network.ok());
  (*network)->InitializeWeights(at::detail::createCPUGenerator(seed));
  ModelSpec spec;
  spec.family = "faststyle";
  spec.tier = generator == "lite" ? "lite" : generator == "resnet-6" ? "base" : "quality";
  spec.architecture.generator = generator;
  WriteModelFolder(directory, **network, spec);
  ATELIER_CHECK(WriteFileAtomically(directory / "card.md", "# Random weights, for tests\n").ok());
  // The smallest thing that starts like a JPEG: nothing in the service decodes previews.
  ATELIER_CHECK(WriteFileAtomically(directory / "preview.jpg", "\xff\xd8\xff\xd9").ok());
  return spec.weights_sha256;
}

}  // namespace atelier::test
