#include "bench/bench_models.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <memory>
#include <system_error>

#include "common/files.h"
#include "common/model_spec.h"
#include "common/status_macros.h"
#include "worker/image/codec.h"
#include "worker/models/generator_table.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/nn/quantized_convolution.h"

namespace atelier::bench {
namespace {

using GeneratorPtr = std::shared_ptr<nn::Generator>;

// `plain` in int8, its inputs taken to lie in [-4, 4], where a norm leaves them.
absl::StatusOr<GeneratorPtr> Quantized(const nn::Generator& plain,
                                       const Architecture& architecture) {
  ATELIER_ASSIGN_OR_RETURN(GeneratorPtr network, models::MakeGenerator(architecture));
  nn::QuantizeWeights(plain, *network);
  for (const auto& [name, convolution] : nn::QuantizedConvolutionsOf(*network)) {
    convolution->SetInputGrid(nn::GridFor(-4, 4));
  }
  return network;
}

}  // namespace

absl::Status WriteUntrainedModel(const std::filesystem::path& directory,
                                 const std::string& generator, bool int8, std::uint64_t seed) {
  ModelSpec spec;
  ATELIER_ASSIGN_OR_RETURN(spec.architecture, models::ArchitectureOf(generator));
  ATELIER_ASSIGN_OR_RETURN(GeneratorPtr network, models::MakeGenerator(spec.architecture));
  {
    torch::NoGradGuard no_grad;
    network->InitializeWeights(at::detail::createCPUGenerator(seed));
  }
  if (int8) {
    spec.architecture.int8 = true;
    spec.default_precision = Precision::kInt8;
    ATELIER_ASSIGN_OR_RETURN(network, Quantized(*network, spec.architecture));
  }
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  const std::filesystem::path file = directory / "weights.safetensors";
  ATELIER_RETURN_IF_ERROR(models::WriteSafetensors(file, models::CollectWeights(*network), {}));
  spec.family = "faststyle";
  spec.tier = generator == "lite" ? "lite" : "quality";
  spec.parameters = models::CountParameters(*network);
  ATELIER_ASSIGN_OR_RETURN(spec.weights_sha256, Sha256HexOfFile(file));
  spec.weights_bytes = std::filesystem::file_size(file);
  ATELIER_RETURN_IF_ERROR(
      WriteFileAtomically(directory / "card.md", "Untrained, for benchmarks.\n"));
  return WriteModelSpec(directory, spec);
}

absl::StatusOr<std::string> MakePhotograph(int side) {
  const at::Generator random = at::detail::createCPUGenerator(7);
  torch::Tensor picture = torch::zeros({1, 3, side, side});
  for (const int scale : {4, 16, 64}) {
    const torch::Tensor noise = torch::rand({1, 3, scale, scale}, random);
    picture += torch::upsample_bicubic2d(noise, {side, side}, false);
  }
  const torch::Tensor pixels = picture.div(3).clamp(0, 1).mul(255).to(torch::kUInt8);
  return image::EncodeImage(pixels.squeeze(0).permute({1, 2, 0}).contiguous(), {}, {});
}

}  // namespace atelier::bench
