#include "worker/convert/export_model.h"

#include <cstdint>
#include <string>

#include "common/files.h"
#include "common/model_spec.h"
#include "common/status_macros.h"
#include "worker/convert/import_model.h"
#include "worker/convert/model_card.h"
#include "worker/convert/network.h"
#include "worker/infer/serving_network.h"
#include "worker/models/safetensors.h"
#include "worker/models/torch_pickle_writer.h"
#include "worker/models/torchscript_export.h"
#include "worker/models/weights.h"

namespace atelier::convert {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxCardBytes = 1 << 20;

absl::Status WriteProgram(const ModelSpec& spec, const models::TensorMap& tensors,
                          const fs::path& output) {
  ATELIER_ASSIGN_OR_RETURN(const Network network, MakeNetwork(spec));
  ATELIER_RETURN_IF_ERROR(models::LoadWeights(*network.module, tensors, /*strict=*/true));
  absl::StatusOr<std::string> program =
      absl::UnimplementedError("The model is no network that could be a program.");
  if (network.picture != nullptr) {
    program = models::SerializeTorchScript(*network.picture, spec.architecture);
  } else if (network.pattern != nullptr) {
    program = models::SerializeTorchScript(*network.pattern, spec.architecture);
  }
  if (absl::IsUnimplemented(program.status())) {
    return absl::FailedPreconditionError(std::string(program.status().message()) +
                                         " Export it as safetensors or pth.");
  }
  ATELIER_RETURN_IF_ERROR(program.status());
  return WriteFileAtomically(output, *program);
}

// With what makes the same model of it again.
absl::Status WriteDescribed(const ModelSpec& spec, const models::TensorMap& tensors,
                            const fs::path& model, const fs::path& output) {
  models::Metadata metadata = {{"format", "pt"}, {kModelMetadata, FormatModelSpec(spec)}};
  // A model without a card, or with an unreadable one, is still a model.
  if (const auto card = ReadFile(model / "card.md", kMaxCardBytes); card.ok()) {
    metadata[kCardMetadata] = CleanCard(*card);
  }
  return models::WriteSafetensors(output, tensors, metadata);
}

absl::Status ExportStateDict(const ModelSpec& spec, const models::TensorMap& tensors,
                             const ExportTask& task, const fs::path& output) {
  switch (task.format) {
    case WeightsFormat::kSafetensors:
      return WriteDescribed(spec, tensors, task.model, output);
    case WeightsFormat::kTorchPickle:
      return models::WriteTorchPickle(output, tensors);
    case WeightsFormat::kTorchScript:
      return WriteProgram(spec, tensors, output);
  }
  return absl::InternalError("an unknown format");
}

}  // namespace

absl::Status ExportModel(const ExportTask& task, const fs::path& folder) {
  ATELIER_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(task.model));
  const bool is_program = spec.architecture.generator == kTorchScript;
  if (is_program && task.format != WeightsFormat::kTorchScript) {
    return absl::FailedPreconditionError(
        "The model is a TorchScript program and exists in that format only; export it as "
        "torchscript.");
  }
  if (spec.architecture.int8 && task.format != WeightsFormat::kSafetensors) {
    return absl::FailedPreconditionError(
        "An int8 model exists as safetensors only: PyTorch has no such layers. Export it as "
        "safetensors, or export the model that it was made from.");
  }
  ATELIER_ASSIGN_OR_RETURN(
      std::string bytes,
      infer::ReadVerified(task.model / WeightsFileName(spec.architecture), spec.weights_sha256));
  const fs::path output = folder / kConvertOutput;
  if (is_program) {
    return WriteFileAtomically(output, bytes);
  }
  ATELIER_ASSIGN_OR_RETURN(const models::Safetensors file, models::ParseSafetensors(bytes));
  bytes = std::string();  // the tensors have copied it
  return ExportStateDict(spec, file.tensors, task, output);
}

}  // namespace atelier::convert
