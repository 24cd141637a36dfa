#include "common/technique_options.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "common/errors.h"
#include "common/json_reader.h"
#include "common/option_names.h"
#include "common/status_macros.h"
#include "common/train_fields.h"
#include "common/train_metrics.h"

namespace atelier {
namespace {

using Json = nlohmann::json;

// Which metrics there are for `family`, as a sentence's list.
std::string MetricsOf(const Family& family) {
  std::string names;
  for (const TrainMetric& metric : kTrainMetrics) {
    const bool applies =
        (!metric.of_pairs || !family.from_noise) && (!metric.of_style || family.has_style);
    if (applies) {
      names += (names.empty() ? "" : ", ") + Quoted(metric.name);
    }
  }
  return names;
}

absl::Status CheckMetrics(const Family& family, const EvaluateConfig& evaluate) {
  for (const std::string& name : evaluate.metrics) {
    const TrainMetric* metric = FindTrainMetric(name);
    if (metric == nullptr || (metric->of_pairs && family.from_noise) ||
        (metric->of_style && !family.has_style)) {
      return InvalidField("train.evaluate.metrics", Quoted(name) + " is none for the family " +
                                                        Quoted(family.name) + ", which has " +
                                                        MetricsOf(family));
    }
    if (evaluate.pictures < metric->least_pictures) {
      return InvalidField("train.evaluate.pictures", "must be at least " +
                                                         std::to_string(metric->least_pictures) +
                                                         " for the metric " + Quoted(name));
    }
  }
  if (std::ranges::find(evaluate.metrics, evaluate.decisive()) == evaluate.metrics.end()) {
    return InvalidField("train.evaluate.best_by", "must be one of evaluate.metrics");
  }
  return absl::OkStatus();
}

absl::Status CheckEvaluate(const Family& family, const TrainConfig& config) {
  const EvaluateConfig& evaluate = config.evaluate;
  if (!evaluate.on()) {
    return config.schedule.kind == ScheduleKind::kPlateau
               ? InvalidField("train.schedule.kind",
                              "\"plateau\" follows a metric; say evaluate.every_steps or "
                              "evaluate.every_epochs")
               : absl::OkStatus();
  }
  if (evaluate.every_steps > 0 && evaluate.every_epochs > 0) {
    return InvalidField("train.evaluate.every_epochs",
                        "contradicts evaluate.every_steps; give one of the two");
  }
  if (evaluate.min_delta > 0 && evaluate.patience == 0) {
    return InvalidField("train.evaluate.min_delta",
                        "is for stopping early; set evaluate.patience as well");
  }
  return CheckMetrics(family, evaluate);
}

absl::Status CheckLosses(const Family& family, const TrainConfig& config) {
  const std::string prefix = "train.losses.";
  const LossesConfig& losses = config.losses;
  const std::pair<const char*, double> of_pictures[] = {
      {"perceptual_weight", losses.perceptual_weight},
      {"structure_weight", losses.structure_weight},
      {"statistics_weight", losses.statistics_weight},
      {"total_variation_weight", losses.total_variation_weight}};
  for (const auto& [name, weight] : of_pictures) {
    if (weight > 0 && family.from_noise) {
      return InvalidField(prefix + name,
                          "compares with an input, which a family that starts from noise does not "
                          "have; only losses.regularization_weight applies");
    }
  }
  if (losses.statistics_weight > 0 && !family.has_style_pictures) {
    return InvalidField(
        prefix + "statistics_weight",
        "is for " + FamiliesWith(&Family::has_style_pictures) + ", not " + Quoted(family.name));
  }
  const std::pair<std::string_view, double> weights[] = {
      {"total_variation_weight", losses.total_variation_weight},
      {"regularization_weight", losses.regularization_weight}};
  for (const auto& [name, own] : family.own_losses) {
    for (const auto& [given, weight] : weights) {
      if (given == name && weight > 0) {
        return InvalidField(prefix + std::string(name),
                            "is " + std::string(own) + " with this family");
      }
    }
  }
  return absl::OkStatus();
}

// What judging several levels does not go together with.
absl::Status CheckLevels(const Family& family, const TrainConfig& config) {
  if (!family.has_levels) {
    return InvalidField(
        "train.generator_options.multi_level",
        "is for " + FamiliesWith(&Family::has_levels) + ", not " + Quoted(family.name));
  }
  const GanConfig& gan = config.gan;
  if (gan.discriminator != DiscriminatorKind::kMultiScale || gan.scales < 2) {
    return InvalidField("train.generator_options.multi_level",
                        R"(needs gan.discriminator "multi_scale" with gan.scales 2 or 3)");
  }
  const std::pair<const char*, bool> one_scale[] = {
      {"train.gan.pool_size", gan.pool_size > 0},
      {"train.gan.gradient_penalty_weight", gan.gradient_penalty_weight > 0},
      {"train.augment.differentiable", config.augment.differentiable}};
  for (const auto& [field, given] : one_scale) {
    if (given) {
      return InvalidField(field,
                          "contradicts generator_options.multi_level, whose pictures come "
                          "at several scales; set one of the two to 0 or false");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckGeneratorOptions(const Family& family, const TrainConfig& config) {
  const GeneratorConfig& options = config.generator_options;
  const bool resnet = config.generator.empty()
                          ? config.tier != "lite"
                          : config.generator.find("resnet") != std::string::npos;
  const bool unet = config.generator.starts_with("unet-");
  if (family.needs_resnet && !resnet) {
    return InvalidField(config.generator.empty() ? "train.tier" : "train.generator",
                        "must be a ResNet for the family " + Quoted(family.name) +
                            R"(: the tier "base" or "quality", or the generator "cut-resnet-6", )"
                            R"("cut-resnet-9", "resnet-6" or "resnet-9")");
  }
  if (!options.norm.empty() && !resnet && !unet) {
    return InvalidField("train.generator_options.norm",
                        "can be chosen for ResNet and U-Net generators only");
  }
  const std::pair<const char*, bool> of_resnets[] = {
      {"train.generator_options.antialias", options.antialias},
      {"train.generator_options.resize_convolution", options.resize_convolution},
      {"train.generator_options.multi_level", options.multi_level}};
  for (const auto& [field, given] : of_resnets) {
    if (given && !resnet) {
      return InvalidField(field,
                          R"(is for ResNet generators; choose the tier "base" or "quality")");
    }
  }
  const bool antialias = options.antialias || config.generator.starts_with("cut-resnet");
  if (antialias && options.resize_convolution) {
    return InvalidField("train.generator_options.resize_convolution",
                        "contradicts the anti-aliased layout, which has no transposed "
                        "convolutions; choose one");
  }
  return options.multi_level ? CheckLevels(family, config) : absl::OkStatus();
}

}  // namespace

absl::Status ReadEvaluate(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.evaluate.");
  EvaluateConfig& config = train.evaluate;
  reader.Read("every_steps", 1, kMillion, true, config.every_steps);
  reader.Read("every_epochs", 1, kMillion, true, config.every_epochs);
  reader.ReadStrings("metrics", std::size(kTrainMetrics), config.metrics);
  reader.Read("pictures", 1, 1000, true, config.pictures);
  reader.ReadDouble(
      "held_out", [](double value) { return value >= 0 && value <= 0.5; }, "from 0 to 0.5",
      config.held_out);
  reader.ReadString("best_by", config.best_by);
  reader.ReadChoice("result", kResultNames, config.best_result);
  reader.Read("patience", 1, 1000, true, config.patience);
  reader.ReadWeight("min_delta", config.min_delta);
  if (!object.empty() && !config.on()) {
    reader.Fail("every_steps", "is required; say how often to measure, in steps or every_epochs");
  }
  return reader.Finish();
}

absl::Status ReadResample(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.resample.");
  ResampleConfig& config = train.resample;
  reader.ReadDouble(
      "strength", [](double value) { return value > 0 && value <= 4; }, "above 0, up to 4",
      config.strength);
  double bound = 0;
  reader.ReadDouble(
      "bound", [](double value) { return value == 0 || (value >= 1 && value <= 100); },
      "from 1 to 100", bound);
  config.bound = bound > 0 ? bound : config.bound;
  reader.Read("window", 1, 100'000, true, config.window);
  reader.ReadDouble(
      "decay", [](double value) { return value >= 0 && value < 1; }, "from 0 to below 1",
      config.decay);
  if (!object.empty() && !config.on()) {
    reader.Fail("strength", "is required; 0.5 is a moderate one");
  }
  return reader.Finish();
}

absl::Status ReadLosses(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.losses.");
  LossesConfig& config = train.losses;
  reader.ReadWeight("perceptual_weight", config.perceptual_weight);
  reader.ReadWeight("structure_weight", config.structure_weight);
  reader.ReadWeight("statistics_weight", config.statistics_weight);
  reader.ReadWeight("total_variation_weight", config.total_variation_weight);
  reader.ReadWeight("regularization_weight", config.regularization_weight);
  return reader.Finish();
}

absl::Status ReadGeneratorOptions(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.generator_options.");
  GeneratorConfig& config = train.generator_options;
  reader.ReadChoice("norm", kNormNames, config.norm);
  reader.ReadBool("antialias", config.antialias);
  reader.ReadBool("resize_convolution", config.resize_convolution);
  reader.ReadBool("multi_level", config.multi_level);
  return reader.Finish();
}

absl::Status CheckTechniques(const Family& family, const TrainConfig& config) {
  ATELIER_RETURN_IF_ERROR(CheckEvaluate(family, config));
  ATELIER_RETURN_IF_ERROR(CheckLosses(family, config));
  return CheckGeneratorOptions(family, config);
}

}  // namespace atelier
