#include "common/model_jobs.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/errors.h"
#include "common/family.h"
#include "common/json_reader.h"
#include "common/names.h"
#include "common/status_macros.h"
#include "common/train_metrics.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using Json = nlohmann::json;

// Above it a picture is made smaller before its pixels are optimised.
constexpr int kMaxOptimizedSide = 1024;

constexpr std::pair<std::string_view, ImageFormat> kFormats[] = {
    {"jpeg", ImageFormat::kJpeg},
    {"png", ImageFormat::kPng},
    {"webp", ImageFormat::kWebp},
    {"IMAGE_FORMAT_JPEG", ImageFormat::kJpeg},
    {"IMAGE_FORMAT_PNG", ImageFormat::kPng},
    {"IMAGE_FORMAT_WEBP", ImageFormat::kWebp}};

constexpr std::pair<std::string_view, Precision> kPrecisions[] = {
    {"fp32", Precision::kFp32},           {"bf16", Precision::kBf16},
    {"int8", Precision::kInt8},           {"PRECISION_FP32", Precision::kFp32},
    {"PRECISION_BF16", Precision::kBf16}, {"PRECISION_INT8", Precision::kInt8}};

absl::StatusOr<Json> ParseObject(std::string_view kind, std::string_view json) {
  Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    return InvalidField(kind, "is not a JSON object");
  }
  // "Not said", as protobuf's JSON has it when all fields are printed.
  for (const char* key : {"format", "precision"}) {
    const auto found = object.find(key);
    if (found != object.end() && found->is_string() &&
        found->get<std::string>().ends_with("_UNSPECIFIED")) {
      object.erase(found);
    }
  }
  return object;
}

absl::Status CheckModels(const std::string& field, const std::vector<std::string>& models) {
  if (models.empty()) {
    return InvalidField(
        field, "must name 1 to " + std::to_string(kMaxJobModels) + " models, each as NAME@VERSION");
  }
  for (std::size_t i = 0; i < models.size(); ++i) {
    const std::string place = field + "[" + std::to_string(i) + "]";
    ATELIER_ASSIGN_OR_RETURN(const ModelRef reference, ParseModelRef(place, models[i]));
    if (reference.version == 0) {
      // A job may go on after the name has come to mean another version.
      return InvalidField(place, "must be NAME@VERSION, with the version as a number");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadEvaluateData(const Json& data, EvaluateJobConfig& config) {
  ObjectReader reader(data, "evaluate.data.");
  reader.ReadString("content", config.content_dataset);
  reader.ReadString("style", config.style_dataset);
  bool upscale = false;
  reader.ReadBool("upscale", upscale);
  if (upscale) {
    reader.Fail("upscale", "does not apply: pictures are scaled in any case; leave it out");
  }
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(CheckName("evaluate.data.content", config.content_dataset));
  return config.style_dataset.empty() ? absl::OkStatus()
                                      : CheckName("evaluate.data.style", config.style_dataset);
}

// Needs pictures of the style to compare with.
bool NeedsStyleSet(const TrainMetric& metric) {
  return metric.of_style || (!metric.of_pairs && metric.name != "diversity");
}

std::string ModelField(const char* kind, std::size_t place) {
  return std::string(kind) + ".models[" + std::to_string(place) + "]";
}

}  // namespace

bool MakesPatterns(const ModelSpec& spec) {
  const Family* family = FindFamily(spec.family);
  return family != nullptr && family->from_noise;
}

bool NeedsStylePicture(const ModelSpec& spec) {
  return std::ranges::find(spec.capabilities, "style_image") != spec.capabilities.end();
}

absl::StatusOr<EvaluateJobConfig> ParseEvaluateJob(std::string_view json) {
  ATELIER_ASSIGN_OR_RETURN(const Json object, ParseObject(kEvaluate, json));
  ObjectReader reader(object, "evaluate.");
  EvaluateJobConfig config;
  reader.ReadStrings("models", kMaxJobModels, config.models);
  reader.ReadStrings("metrics", std::size(kTrainMetrics), config.metrics);
  reader.Read("pictures", 1, 1000, /*zero_is_default=*/true, config.pictures);
  reader.Read("seed", 0, std::numeric_limits<std::uint64_t>::max(), true, config.seed);
  reader.Read("image_size", 64, 1024, true, config.image_size);
  const Json data = reader.ReadObject("data");
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(CheckModels("evaluate.models", config.models));
  ATELIER_RETURN_IF_ERROR(ReadEvaluateData(data, config));
  if (config.image_size % 32 != 0) {
    return InvalidField("evaluate.image_size", "must be a multiple of 32 from 64 to 1024");
  }
  for (const std::string& name : config.metrics) {
    if (FindTrainMetric(name) == nullptr) {
      return InvalidField("evaluate.metrics",
                          "\"" + name + "\" is no metric; EvaluateOptions lists them");
    }
  }
  return config;
}

absl::StatusOr<StylizeSetConfig> ParseStylizeSet(std::string_view json) {
  ATELIER_ASSIGN_OR_RETURN(const Json object, ParseObject(kStylizeSet, json));
  ObjectReader reader(object, "stylize_set.");
  StylizeSetConfig config;
  reader.ReadString("dataset", config.dataset);
  reader.ReadStrings("models", kMaxJobModels, config.models);
  reader.ReadString("output_dataset", config.output_dataset);
  double strength = 1;
  reader.ReadDouble(
      "strength", [](double value) { return value >= 0 && value <= 1; }, "from 0 to 1", strength);
  config.strength = static_cast<float>(strength);
  reader.ReadBool("preserve_color", config.preserve_color);
  reader.Read("size", kMinImageSide, kMaxImageSide, /*zero_is_default=*/true, config.size);
  reader.ReadChoice("format", kFormats, config.format);
  reader.Read("quality", 1, 100, true, config.quality);
  reader.ReadChoice("precision", kPrecisions, config.precision);
  ATELIER_RETURN_IF_ERROR(reader.Finish());
  ATELIER_RETURN_IF_ERROR(CheckName("stylize_set.dataset", config.dataset));
  ATELIER_RETURN_IF_ERROR(CheckModels("stylize_set.models", config.models));
  ATELIER_RETURN_IF_ERROR(CheckName("stylize_set.output_dataset", config.output_dataset));
  if (config.output_dataset == config.dataset) {
    return InvalidField("stylize_set.output_dataset",
                        "is the set that is restyled; a new one is made, give it another name");
  }
  return config;
}

absl::StatusOr<std::vector<std::string>> MetricsFor(const EvaluateJobConfig& config,
                                                    const ModelSpec& spec) {
  const bool patterns = MakesPatterns(spec);
  const bool style = !config.style_dataset.empty();
  if (patterns && style) {
    return InvalidField("evaluate.data.style",
                        "does not apply to models that make patterns; leave it out");
  }
  if (config.metrics.empty()) {
    if (patterns) {
      return std::vector<std::string>{"kernel_distance"};
    }
    std::vector<std::string> metrics = {"content_similarity", "ssim"};
    if (style) {
      metrics.emplace_back("style_gain");
    }
    return metrics;
  }
  for (const std::string& name : config.metrics) {
    const TrainMetric* metric = FindTrainMetric(name);
    if (metric == nullptr || (patterns && metric->of_pairs)) {
      return InvalidField("evaluate.metrics",
                          "\"" + name + "\" is not measured of models that make patterns");
    }
    if (!patterns && !style && NeedsStyleSet(*metric)) {
      return InvalidField("evaluate.data.style",
                          "is missing: \"" + name + "\" compares with pictures of the style");
    }
  }
  return config.metrics;
}

absl::Status CheckMeasurable(const EvaluateJobConfig& config, std::size_t place,
                             const ModelSpec& spec) {
  const std::string field = ModelField(kEvaluate, place);
  if (NeedsStylePicture(spec)) {
    return InvalidField(field, "takes its style from each request: there is nothing to measure");
  }
  if (MakesPatterns(spec) && config.image_size != 0) {
    return InvalidField("evaluate.image_size", "does not apply: " + config.models[place] +
                                                   " makes patterns of a size of its own");
  }
  return MetricsFor(config, spec).status();
}

absl::Status CheckRestyles(const StylizeSetConfig& config, std::size_t place,
                           const ModelSpec& spec) {
  const std::string field = ModelField(kStylizeSet, place);
  if (MakesPatterns(spec)) {
    return InvalidField(field, "makes patterns; give a model that restyles pictures");
  }
  if (NeedsStylePicture(spec)) {
    return InvalidField(field, "takes its style from each request; give a model that has one");
  }
  const Family* family = FindFamily(spec.family);
  if (family != nullptr && family->optimizes_pixels && config.size > kMaxOptimizedSide) {
    return InvalidField("stylize_set.size", "is at most " + std::to_string(kMaxOptimizedSide) +
                                                " with " + config.models[place] +
                                                ", which optimises pixels");
  }
  return config.precision.has_value()
             ? CheckPrecision("stylize_set.precision", *config.precision, spec.default_precision)
             : absl::OkStatus();
}

}  // namespace atelier
