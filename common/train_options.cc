#include "common/train_options.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "common/errors.h"
#include "common/option_names.h"
#include "common/status_macros.h"
#include "common/technique_options.h"
#include "common/train_fields.h"

namespace atelier {
namespace {

using Json = nlohmann::json;

bool IsShare(double value) { return value >= 0 && value <= 1; }
constexpr const char* kShareRange = "from 0 to 1";

// What the discriminator is. Options that its kind does not have are refused, not ignored.
void ReadDiscriminator(ObjectReader& reader, GanConfig& config) {
  reader.ReadChoice("discriminator", kDiscriminatorNames, config.discriminator);
  const std::string kind(NameOf(kDiscriminatorNames, config.discriminator));
  const bool projected = config.discriminator == DiscriminatorKind::kProjected;
  std::string norm;
  reader.ReadChoice("norm", kNormNames, norm);
  if (!norm.empty()) {
    config.norm = norm;
    if (projected) {
      reader.Fail("norm", "does not apply to the discriminator \"projected\"; leave it out");
    }
  }
  int scales = 0;
  reader.Read("scales", 1, 3, true, scales);
  if (scales > 0) {
    config.scales = scales;
    if (config.discriminator != DiscriminatorKind::kMultiScale) {
      reader.Fail("scales", R"(is for the discriminator "multi_scale", not ")" + kind + "\"");
    }
  }
  reader.ReadBool("spectral_norm", config.spectral_norm);
  if (projected && config.spectral_norm) {
    reader.Fail("spectral_norm", "is part of the discriminator \"projected\"; leave it out");
  }
  // A family's own default is for the layouts that have it.
  const bool has_filters = config.discriminator == DiscriminatorKind::kPatch ||
                           config.discriminator == DiscriminatorKind::kMultiScale;
  config.antialias = config.antialias && has_filters;
  reader.ReadBool("antialias", config.antialias);
  if (config.antialias && !has_filters) {
    reader.Fail("antialias",
                R"(is for the discriminators "patch" and "multi_scale", not ")" + kind + "\"");
  }
}

absl::Status ReadGan(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.gan.");
  GanConfig& config = train.gan;
  reader.ReadChoice("loss", kGanLossNames, config.loss);
  ReadDiscriminator(reader, config);
  reader.Read("channels", 1, 256, true, config.channels);
  double learning_rate = 0;  // left out: the family's own
  reader.ReadDouble("learning_rate", IsShare, kShareRange, learning_rate);
  config.learning_rate = learning_rate > 0 ? learning_rate : config.learning_rate;
  reader.Read("steps", 1, 16, true, config.steps);
  reader.Read("freeze_layers", 0, 16, true, config.freeze_layers);
  reader.ReadWeight("weight", config.weight);
  reader.ReadWeight("gradient_penalty_weight", config.gradient_penalty_weight);
  reader.ReadWeight("r1_weight", config.r1_weight);
  reader.ReadWeight("clip_weights", config.clip_weights);
  reader.ReadWeight("feature_matching_weight", config.feature_matching_weight);
  reader.ReadWeight("mode_seeking_weight", config.mode_seeking_weight);
  reader.Read("pool_size", 0, 1000, false, config.pool_size);
  return reader.Finish();
}

absl::Status ReadSchedule(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.schedule.");
  ScheduleConfig& config = train.schedule;
  reader.ReadChoice("kind", kScheduleNames, config.kind);
  reader.ReadDouble("decay_from", IsShare, kShareRange, config.decay_from);
  reader.ReadDouble("final_share", IsShare, kShareRange, config.final_share);
  reader.Read("warmup_steps", 0, 1'000'000, false, config.warmup_steps);
  reader.ReadDouble(
      "plateau_factor", [](double value) { return value > 0 && value < 1; }, "above 0, below 1",
      config.plateau_factor);
  reader.Read("plateau_patience", 0, 1000, false, config.plateau_patience);
  reader.ReadDouble("plateau_threshold", IsShare, kShareRange, config.plateau_threshold);
  return reader.Finish();
}

absl::Status ReadAugment(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.augment.");
  AugmentConfig& config = train.augment;
  reader.ReadDouble(
      "rotation", [](double value) { return value >= 0 && value <= 180; }, "of degrees, 0 to 180",
      config.rotation);
  reader.ReadDouble("shift", IsShare, kShareRange, config.shift);
  reader.ReadDouble("shear", IsShare, kShareRange, config.shear);
  reader.ReadDouble(
      "zoom", [](double value) { return value >= 0 && value < 1; }, "from 0 to below 1",
      config.zoom);
  reader.ReadBool("flip", config.flip);
  reader.ReadChoice("border", kBorderNames, config.reflect);
  reader.ReadBool("differentiable", config.differentiable);
  reader.ReadBool("adaptive", config.adaptive);
  return reader.Finish();
}

absl::Status ReadFaststyle(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.faststyle.");
  FaststyleConfig& config = train.faststyle;
  reader.ReadWeight("content_weight", config.content_weight);
  reader.ReadWeight("style_weight", config.style_weight);
  reader.ReadWeight("total_variation_weight", config.total_variation_weight);
  reader.ReadWeight("adversarial_weight", config.adversarial_weight);
  reader.ReadWeight("luminance_weight", config.luminance_weight);
  reader.ReadWeight("color_weight", config.color_weight);
  reader.ReadWeight("chroma_weight", config.chroma_weight);
  reader.Read("style_size", 64, 4096, /*zero_is_default=*/false, config.style_size);
  return reader.Finish();
}

absl::Status ReadMultistyle(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.multistyle.");
  reader.ReadDouble("mix_share", IsShare, kShareRange, train.multistyle.mix_share);
  return reader.Finish();
}

absl::Status ReadReference(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.reference.");
  ReferenceConfig& config = train.reference;
  reader.ReadWeight("content_weight", config.content_weight);
  reader.ReadWeight("style_weight", config.style_weight);
  reader.ReadWeight("total_variation_weight", config.total_variation_weight);
  return reader.Finish();
}

absl::Status ReadGatys(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.gatys.");
  GatysConfig& config = train.gatys;
  reader.ReadWeight("content_weight", config.content_weight);
  reader.ReadWeight("style_weight", config.style_weight);
  reader.ReadWeight("total_variation_weight", config.total_variation_weight);
  reader.Read("iterations", 1, kMaxGatysIterations, true, config.iterations);
  return reader.Finish();
}

absl::Status ReadCyclegan(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.cyclegan.");
  reader.ReadWeight("cycle_weight", train.cyclegan.cycle_weight);
  reader.ReadWeight("identity_weight", train.cyclegan.identity_weight);
  return reader.Finish();
}

absl::Status ReadPix2pix(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.pix2pix.");
  reader.ReadWeight("l1_weight", train.pix2pix.l1_weight);
  reader.ReadBool("edges", train.pix2pix.edges);
  return reader.Finish();
}

absl::Status ReadCut(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.cut.");
  CutConfig& config = train.cut;
  bool fast = false;
  reader.ReadBool("fast", fast);
  if (fast) {  // FastCUT of Park et al. 2020: one-sided, a stronger loss, flips
    config.nce_weight = 10;
    config.identity = false;
    config.flip_equivariance = true;
  }
  reader.ReadWeight("nce_weight", config.nce_weight);
  // Protobuf writes an empty list for one that was left out, but then it writes "fast" as well.
  if (object.contains("layers") && object["layers"] == Json::array() && !object.contains("fast")) {
    reader.Fail("layers",
                "must name 1 to 8 layers; leave it out for 0, 4, 8, 12, 16, or set "
                "nce_weight to 0 to compare none");
  }
  reader.ReadIntegers("layers", 8, 64, config.layers);
  reader.Read("patches", 1, 4096, true, config.patches);
  reader.ReadDouble(
      "temperature", [](double value) { return value > 0 && value <= 10; }, "above 0, up to 10",
      config.temperature);
  reader.ReadBool("identity", config.identity);
  reader.ReadBool("flip_equivariance", config.flip_equivariance);
  return reader.Finish();
}

absl::Status ReadPattern(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.pattern.");
  reader.ReadChoice("architecture", kPatternNames, train.pattern.classic);
  reader.Read("latent_size", 1, 1024, true, train.pattern.latent_size);
  reader.ReadBool("resize_convolution", train.pattern.resize_convolution);
  reader.ReadChoice("condition", kConditionNames, train.pattern.words);
  return reader.Finish();
}

absl::Status ReadVaegan(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.vaegan.");
  VaeganConfig& config = train.vaegan;
  reader.ReadWeight("reconstruction_weight", config.reconstruction_weight);
  reader.ReadWeight("kl_weight", config.kl_weight);
  reader.ReadWeight("feature_matching_weight", config.feature_matching_weight);
  reader.ReadWeight("regularization_weight", config.regularization_weight);
  reader.ReadWeight("cycle_weight", config.cycle_weight);
  reader.ReadWeight("cycle_kl_weight", config.cycle_kl_weight);
  return reader.Finish();
}

struct OptionMessage {
  std::string_view name;
  bool of_every_family;
  absl::Status (*read)(const Json& object, TrainConfig& config);
};

constexpr OptionMessage kMessages[] = {
    {"gan", true, ReadGan},
    {"schedule", true, ReadSchedule},
    {"augment", true, ReadAugment},
    {"evaluate", true, ReadEvaluate},
    {"resample", false, ReadResample},
    {"losses", false, ReadLosses},
    {"generator_options", false, ReadGeneratorOptions},
    {"faststyle", false, ReadFaststyle},
    {"multistyle", false, ReadMultistyle},
    {"reference", false, ReadReference},
    {"gatys", false, ReadGatys},
    {"cyclegan", false, ReadCyclegan},
    {"pix2pix", false, ReadPix2pix},
    {"cut", false, ReadCut},
    {"pattern", false, ReadPattern},
    {"vaegan", false, ReadVaegan},
};

}  // namespace

absl::Status ReadTrainOptions(ObjectReader& reader, const Family& family, TrainConfig& config) {
  for (const OptionMessage& message : kMessages) {
    const std::string name(message.name);
    const Json object = reader.ReadObject(name);
    const bool applies = (message.of_every_family && !family.optimizes_pixels) ||
                         std::find(family.options.begin(), family.options.end(), message.name) !=
                             family.options.end();
    if (!applies && !object.empty()) {
      const std::string but_pixels = "families but " + FamiliesWith(&Family::optimizes_pixels);
      return InvalidField("train." + name,
                          "is for " +
                              (message.of_every_family ? "all " + but_pixels : FamiliesWith(name)) +
                              ", not \"" + config.family + "\"; leave it out");
    }
    if (applies) {
      ATELIER_RETURN_IF_ERROR(message.read(object, config));
    }
  }
  return absl::OkStatus();
}

namespace {

absl::Status CheckOwnGenerator(const Family& family, const TrainConfig& config) {
  const std::string own =
      " with the family \"" + std::string(family.name) + "\", which has a generator of its own";
  TrainConfig defaults;
  family.set_defaults(defaults);
  if (config.tier != defaults.tier) {
    return InvalidField(
        "train.tier",
        (defaults.tier.empty() ? "must be left out" : "must be \"" + defaults.tier + "\"") + own);
  }
  if (!config.generator.empty()) {
    return InvalidField("train.generator", "must be left out" + own);
  }
  if (config.base_channels != 0 && !family.any_width) {
    return InvalidField("train.base_channels", "must be left out" + own);
  }
  return absl::OkStatus();
}

absl::Status CheckPixels(const Family& family, const TrainConfig& config) {
  const std::pair<const char*, bool> of_networks[] = {
      {"train.tier", !config.tier.empty()},
      {"train.generator", !config.generator.empty()},
      {"train.base_channels", config.base_channels != 0},
      {"train.ema_decay", config.ema_decay != 0},
      {"train.accumulate", config.accumulate != 1},
      {"train.init_from", !config.init_from.empty()},
      {"train.precision", config.precision != Precision::kFp32},
  };
  for (const auto& [field, given] : of_networks) {
    if (given) {
      return InvalidField(field, "does not apply to the family \"" + std::string(family.name) +
                                     "\", which optimises pixels in FP32; leave it out");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCycles(const Family& family, const TrainConfig& config) {
  const std::pair<const char*, double> of_cycles[] = {
      {"train.vaegan.cycle_weight", config.vaegan.cycle_weight},
      {"train.vaegan.cycle_kl_weight", config.vaegan.cycle_kl_weight}};
  for (const auto& [field, weight] : of_cycles) {
    if (weight > 0 && family.from_noise) {
      return InvalidField(field,
                          "is for pictures that become pictures, which \"vaegan\" learns with "
                          "data.style; name that set, or leave this out");
    }
  }
  return absl::OkStatus();
}

// What the networks that pictures go through make of the discriminator's options.
absl::Status CheckDiscriminator(const Family& family, const TrainConfig& config) {
  const GanConfig& gan = config.gan;
  if (family.from_noise && gan.antialias) {
    return InvalidField("train.gan.antialias",
                        "does not apply to a family that makes patterns; leave it out");
  }
  if (family.judges_pairs && gan.discriminator == DiscriminatorKind::kProjected) {
    return InvalidField("train.gan.discriminator",
                        R"("projected" looks at pictures, but that of ")" + config.family +
                            R"(" at pairs; use "patch", "pixel" or "multi_scale")");
  }
  constexpr int kPatchSide = 32;
  if (gan.discriminator == DiscriminatorKind::kMultiScale &&
      config.image_size < kPatchSide << (gan.scales - 1)) {
    return InvalidField("train.gan.scales",
                        std::to_string(gan.scales) + " scales need an image_size of " +
                            std::to_string(kPatchSide << (gan.scales - 1)) + " or more");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckTrainOptions(const Family& family, const TrainConfig& config) {
  if (family.own_generator) {
    ATELIER_RETURN_IF_ERROR(CheckOwnGenerator(family, config));
  }
  if (family.optimizes_pixels) {
    ATELIER_RETURN_IF_ERROR(CheckPixels(family, config));
  }
  if (!family.own_generator && !family.optimizes_pixels && !family.from_noise) {
    ATELIER_RETURN_IF_ERROR(CheckWidth("train.", config));
  }
  ATELIER_RETURN_IF_ERROR(CheckTechniques(family, config));
  ATELIER_RETURN_IF_ERROR(CheckCycles(family, config));
  ATELIER_RETURN_IF_ERROR(CheckDiscriminator(family, config));
  const GanConfig& gan = config.gan;
  const bool has_norm = !(family.from_noise && config.pattern.classic);
  if (has_norm && gan.norm == "batch" && (gan.gradient_penalty_weight > 0 || gan.r1_weight > 0)) {
    return InvalidField("train.gan.norm",
                        "\"batch\" contradicts a gradient penalty, which judges every picture by "
                        "itself; use \"layer\", \"instance\" or \"none\"");
  }
  const std::string alone =
      "is for " + FamiliesWith(&Family::adversary_alone) + ", not \"" + config.family + "\"";
  if (gan.steps > 1 && !family.adversary_alone) {
    return InvalidField("train.gan.steps", "above 1 " + alone + ", which takes 1");
  }
  if (gan.mode_seeking_weight > 0 && !family.adversary_alone) {
    return InvalidField("train.gan.mode_seeking_weight", alone);
  }
  if (family.from_noise && gan.discriminator != DiscriminatorKind::kPatch) {
    return InvalidField("train.gan.discriminator",
                        "does not apply to a family that makes patterns; leave it out");
  }
  if (!family.from_noise && (config.image_size < 64 || config.image_size % 32 != 0)) {
    return InvalidField("train.image_size", "must be a multiple of 32 from 64 to 1024");
  }
  if (family.from_noise && config.pattern.classic) {
    return config.image_size == 56 || config.image_size == 112 || config.image_size == 224
               ? absl::OkStatus()
               : InvalidField("train.image_size",
                              "must be 56, 112 or 224 with pattern.architecture \"classic\"");
  }
  if (family.from_noise && config.image_size != 64 && config.image_size != 128 &&
      config.image_size != 256) {
    return InvalidField("train.image_size",
                        "must be 64, 128 or 256 for a family that makes patterns");
  }
  return absl::OkStatus();
}

}  // namespace atelier
