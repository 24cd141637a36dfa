#include "worker/convert/import_model.h"

#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include "common/errors.h"
#include "common/family.h"
#include "common/files.h"
#include "common/model_spec.h"
#include "common/status_macros.h"
#include "worker/convert/families.h"
#include "worker/convert/model_card.h"
#include "worker/convert/network.h"
#include "worker/infer/model.h"
#include "worker/models/complaints.h"
#include "worker/models/generator_table.h"
#include "worker/models/import_weights.h"
#include "worker/models/pattern_table.h"
#include "worker/models/safetensors.h"
#include "worker/models/torch_pickle.h"
#include "worker/models/torchscript.h"
#include "worker/models/weights.h"

namespace atelier::convert {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxBytes = 2ull << 30;
constexpr std::size_t kMaxWord = 100;

// Weights and what they are of.
struct Found {
  ModelSpec spec;  // family, tier, architecture, classes, capabilities
  models::TensorMap tensors;
  std::string card;  // in the file
};

// Words of a stranger's metadata, which end up in tables and sentences.
bool IsWord(std::string_view text) {
  return text.size() <= kMaxWord &&
         std::ranges::all_of(text, [](unsigned char c) { return c >= ' ' && c != 0x7f; });
}

absl::Status CheckMetadata(const ModelSpec& spec) {
  const bool words = IsWord(spec.tier) && std::ranges::all_of(spec.classes, IsWord) &&
                     std::ranges::all_of(spec.vocabulary, IsWord) &&
                     std::ranges::all_of(spec.capabilities, [](const std::string& name) {
                       return IsWord(name) && name.find(' ') == std::string::npos;
                     });
  if (!words || FindFamily(spec.family) == nullptr || spec.architecture.generator == kTorchScript) {
    return absl::InvalidArgumentError(
        std::string("The file's metadata \"") + kModelMetadata +
        "\" is not a model of Atelier's; remove it to have the network recognised by its names.");
  }
  return absl::OkStatus();
}

// By the metadata that ExportModel writes.
absl::StatusOr<Found> FromMetadata(models::Safetensors file, const ImportTask& task) {
  ATELIER_ASSIGN_OR_RETURN(ModelSpec spec, ParseModelSpec(file.metadata.at(kModelMetadata)));
  ATELIER_RETURN_IF_ERROR(CheckMetadata(spec));
  ATELIER_RETURN_IF_ERROR(CheckFamily(spec, task.family));
  spec.job_id.clear();
  return Found{std::move(spec), std::move(file.tensors), CleanCard(file.metadata[kCardMetadata])};
}

// By names and shapes.
absl::StatusOr<Found> FromNames(const models::TensorMap& tensors, const ImportTask& task) {
  ATELIER_ASSIGN_OR_RETURN(models::ImportedWeights imported, models::RecognizeWeights(tensors));
  Found found;
  ModelSpec& spec = found.spec;
  spec.architecture = imported.architecture;
  ATELIER_ASSIGN_OR_RETURN(spec.family, FamilyOf(spec.architecture, task.family));
  spec.tier = models::TierOf(spec.architecture);
  if (models::IsPattern(spec.architecture)) {
    spec.capabilities = models::PatternCapabilities(/*has_labels=*/false);
  }
  found.tensors = std::move(imported.tensors);
  return found;
}

absl::StatusOr<Found> ParseStateDict(const std::string& bytes, WeightsFormat format,
                                     const ImportTask& task) {
  if (format == WeightsFormat::kTorchPickle) {
    ATELIER_ASSIGN_OR_RETURN(const models::TensorMap tensors, models::ParseTorchPickle(bytes));
    return FromNames(tensors, task);
  }
  ATELIER_ASSIGN_OR_RETURN(models::Safetensors file, models::ParseSafetensors(bytes));
  return file.metadata.contains(kModelMetadata) ? FromMetadata(std::move(file), task)
                                                : FromNames(file.tensors, task);
}

absl::Status CheckFinite(const models::TensorMap& tensors) {
  models::Complaints complaints("values that are not finite in");
  for (const auto& [name, tensor] : tensors) {
    if (tensor.is_floating_point() && !tensor.isfinite().all().item<bool>()) {
      complaints.Add(models::Printable(name));
    }
  }
  std::string list;
  complaints.AppendTo(list);
  return list.empty() ? absl::OkStatus()
                      : absl::InvalidArgumentError("The weights have " + list + ".");
}

// Writes the weights' file and tells `spec` of it.
absl::Status WriteStateDict(const Found& found, const fs::path& model, ModelSpec& spec) {
  ATELIER_RETURN_IF_ERROR(CheckFinite(found.tensors));
  ATELIER_ASSIGN_OR_RETURN(const Network network, MakeNetwork(spec));
  ATELIER_RETURN_IF_ERROR(models::LoadWeights(*network.module, found.tensors, /*strict=*/true));
  spec.parameters = models::CountParameters(*network.module);
  return models::WriteSafetensors(model / WeightsFileName(spec.architecture),
                                  models::CollectWeights(*network.module), {{"format", "pt"}});
}

// `card`: set to the one in the file.
absl::StatusOr<ModelSpec> ImportStateDict(std::string bytes, WeightsFormat format,
                                          const ImportTask& task, const fs::path& model,
                                          std::string& card) {
  ATELIER_ASSIGN_OR_RETURN(Found found, ParseStateDict(bytes, format, task));
  bytes = std::string();  // the tensors have copied it
  card = std::move(found.card);
  ModelSpec spec = found.spec;
  const Precision precision = task.precision.value_or(spec.default_precision);
  ATELIER_RETURN_IF_ERROR(CheckPrecision("header.precision", precision, spec.default_precision));
  spec.default_precision = precision;
  // What model.json cannot say could not be loaded again.
  spec.weights_sha256 = task.sha256;
  if (const auto readable = ParseModelSpec(FormatModelSpec(spec)); !readable.ok()) {
    return absl::InvalidArgumentError("The network is larger than Atelier takes: " +
                                      std::string(readable.status().message()) + ".");
  }
  ATELIER_RETURN_IF_ERROR(WriteStateDict(found, model, spec));
  return spec;
}

absl::StatusOr<ModelSpec> ImportProgram(const std::string& bytes, const ImportTask& task,
                                        const fs::path& model) {
  ModelSpec spec;
  spec.family = kTorchScript;
  spec.architecture.generator = kTorchScript;
  spec.capabilities = {"strength", "preserve_color", "size"};
  ATELIER_RETURN_IF_ERROR(CheckFamily(spec, task.family));
  if (task.precision == Precision::kBf16) {
    return InvalidField("header.precision",
                        "is BF16, but a TorchScript program computes in fp32; leave it out");
  }
  ATELIER_ASSIGN_OR_RETURN(const auto program, models::TorchScriptGenerator::Parse(bytes));
  spec.parameters = models::CountParameters(*program);
  ATELIER_RETURN_IF_ERROR(WriteFileAtomically(model / WeightsFileName(spec.architecture), bytes));
  return spec;
}

}  // namespace

absl::Status ImportModel(const ImportTask& task, const fs::path& folder,
                         const fs::path& feature_weights) {
  ATELIER_ASSIGN_OR_RETURN(std::string bytes, ReadFile(folder / kConvertInput, kMaxBytes));
  ATELIER_ASSIGN_OR_RETURN(const WeightsFormat format, models::DetectWeightsFormat(bytes));
  const fs::path model = folder / kConvertModel;
  std::error_code error;
  fs::create_directories(model, error);
  if (error) {
    return absl::InternalError("The model's folder cannot be made: " + error.message() + ".");
  }
  std::string card;
  ATELIER_ASSIGN_OR_RETURN(ModelSpec spec,
                           format == WeightsFormat::kTorchScript
                               ? ImportProgram(bytes, task, model)
                               : ImportStateDict(std::move(bytes), format, task, model, card));
  const fs::path weights = model / WeightsFileName(spec.architecture);
  ATELIER_ASSIGN_OR_RETURN(spec.weights_sha256, Sha256HexOfFile(weights));
  spec.weights_bytes = fs::file_size(weights);
  ATELIER_RETURN_IF_ERROR(WriteModelSpec(model, spec));
  ATELIER_RETURN_IF_ERROR(
      WriteFileAtomically(model / "card.md", ImportCard(task, spec, format, card)));
  // As a serving worker would: a version that cannot be served is none.
  return infer::LoadModel({.directory = model, .feature_weights = feature_weights}).status();
}

}  // namespace atelier::convert
