#include "common/compress_config.h"

#include <string>
#include <utility>

#include "common/errors.h"
#include "common/family.h"
#include "common/json_reader.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "common/train_fields.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using Json = nlohmann::json;

void SetDefaults(TrainConfig& config) {
  config.learning_rate = 1e-3;
  config.adam_beta1 = 0.9;
  config.ema_decay = 0.99;
  config.gradient_clip = 5;
  config.losses.perceptual_weight = 1;
  // Of every ten pictures one is for the report.
  config.evaluate.held_out = 0.1;
}

absl::Status ReadModel(ObjectReader& reader, const std::string& path, TrainConfig& config) {
  std::string& model = config.compress.model;
  reader.ReadString("model", model);
  const std::string field = path + "model";
  ATELIER_ASSIGN_OR_RETURN(const ModelRef reference, ParseModelRef(field, model));
  if (reference.version == 0) {
    // A job may go on after the name has come to mean another version.
    return InvalidField(field, "must be NAME@VERSION, with the version as a number");
  }
  return absl::OkStatus();
}

void ReadFineTuning(ObjectReader& reader, TrainConfig& config) {
  reader.Read("steps", 1, 10 * kMillion, /*zero_is_default=*/true, config.steps);
  if (config.steps == 0) {
    reader.Fail("steps", "must be at least 1");
  }
  ReadLoop(reader, config);
  reader.ReadWeight("pixel_weight", config.compress.pixel_weight);
  reader.ReadWeight("perceptual_weight", config.losses.perceptual_weight);
  if (config.compress.pixel_weight == 0 && config.losses.perceptual_weight == 0) {
    reader.Fail("pixel_weight", "and perceptual_weight are both 0: nothing would be learnt");
  }
}

void ReadKind(ObjectReader& reader, TrainConfig& config) {
  if (config.family == kQuantize) {
    config.steps = 64;
    config.batch_size = 1;
    config.precision = Precision::kFp32;
    reader.Read("pictures", 1, 10'000, /*zero_is_default=*/true, config.steps);
    return;
  }
  ReadFineTuning(reader, config);
  if (config.family == kPrune) {
    reader.ReadDouble(
        "keep", [](double value) { return value == 0 || (value >= 0.05 && value < 1); },
        "from 0.05 to below 1", config.compress.keep);
    if (config.compress.keep == 0) {
      config.compress.keep = CompressConfig().keep;
    }
    return;
  }
  ReadGenerator(reader, /*from_noise=*/false, config);
  reader.Read("base_channels", 1, 256, true, config.base_channels);
}

absl::StatusOr<TrainConfig> ParseCompression(const std::string& kind, std::string_view json) {
  const Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return InvalidField(kind, "is not a JSON object");
  }
  const std::string path = kind + ".";
  ObjectReader reader(object, path);
  TrainConfig config;
  config.family = kind;
  SetDefaults(config);
  ATELIER_RETURN_IF_ERROR(ReadModel(reader, path, config));
  ReadKind(reader, config);
  ReadCrops(reader, config);
  const Json data = reader.ReadObject("data");
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(ReadSets(data, path + "data.", config));
  ATELIER_RETURN_IF_ERROR(CheckWidth(path, config));
  if (config.image_size < 64 || config.image_size % 32 != 0) {
    return InvalidField(path + "image_size", "must be a multiple of 32 from 64 to 1024");
  }
  return config;
}

// Whether its generator is made of what pruning and quantising know: ResNets and U-Nets.
bool IsConvolutional(const Architecture& architecture) {
  return architecture.generator.starts_with("resnet-") ||
         architecture.generator.starts_with("unet-");
}

}  // namespace

absl::StatusOr<TrainConfig> ParseJobConfig(std::string_view kind, std::string_view json) {
  if (kind == "train") {
    return ParseTrainConfig(json);
  }
  if (kind == kDistil || kind == kPrune || kind == kQuantize) {
    return ParseCompression(std::string(kind), json);
  }
  return InvalidField(kind, R"(is no kind of training; use "train", "distil", "prune" or "quantize")");
}

absl::Status CheckCompressible(std::string_view kind, const ModelSpec& source) {
  const std::string field = std::string(kind) + ".model";
  const Architecture& architecture = source.architecture;
  const Family* family = FindFamily(source.family);
  const bool program = architecture.generator == kTorchScript;
  const bool told_style = family != nullptr && (architecture.generator == "multistyle" ||
                                                architecture.generator == "reference");
  if (!program && (family == nullptr || family->from_noise || family->optimizes_pixels)) {
    return InvalidField(
        field, "is of the family \"" + source.family + "\"; give a model that restyles pictures");
  }
  if (told_style) {
    return InvalidField(field,
                        "is told its style by every request; give a model that has one style");
  }
  if (architecture.int8) {
    return InvalidField(field, "is an int8 model already; give the model that it was made from");
  }
  if (kind != kDistil && !IsConvolutional(architecture)) {
    return InvalidField(field, "has the generator \"" + architecture.generator + "\", but " +
                                   std::string(kind) +
                                   R"( is for "resnet-..." and "unet-..." generators; use distil)");
  }
  return absl::OkStatus();
}

}  // namespace atelier
