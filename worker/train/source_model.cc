#include "worker/train/source_model.h"

#include <string>
#include <utility>

#include "common/compress_config.h"
#include "common/status_macros.h"
#include "worker/infer/generator_style.h"
#include "worker/infer/serving_network.h"
#include "worker/models/torchscript.h"
#include "worker/models/weights.h"

namespace atelier::train {

absl::StatusOr<SourceModel> ReadSourceModel(std::string_view kind,
                                            const std::filesystem::path& directory,
                                            const torch::Device& device) {
  SourceModel source;
  ATELIER_ASSIGN_OR_RETURN(source.spec, ReadModelSpec(directory));
  ATELIER_RETURN_IF_ERROR(CheckCompressible(kind, source.spec));
  ATELIER_ASSIGN_OR_RETURN(
      const std::string bytes,
      infer::ReadVerified(directory / WeightsFileName(source.spec.architecture),
                          source.spec.weights_sha256));
  if (source.spec.architecture.generator == kTorchScript) {
    ATELIER_ASSIGN_OR_RETURN(source.network, models::TorchScriptGenerator::Parse(bytes));
    source.network->to(device);
    return source;
  }
  ATELIER_ASSIGN_OR_RETURN(const models::Safetensors file, models::ParseSafetensors(bytes));
  ATELIER_ASSIGN_OR_RETURN(source.network, infer::MakeModelNetwork(source.spec));
  ATELIER_RETURN_IF_ERROR(models::LoadWeights(*source.network, file.tensors, /*strict=*/true));
  infer::PrepareToServe(*source.network, device, torch::kFloat);
  return source;
}

}  // namespace atelier::train
