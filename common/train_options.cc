#include "common/train_options.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "common/errors.h"
#include "common/option_names.h"
#include "common/status_macros.h"

namespace atelier {
namespace {

using Json = nlohmann::json;

bool IsShare(double value) { return value >= 0 && value <= 1; }
constexpr const char* kShareRange = "from 0 to 1";

// Norms are known by their names everywhere.
constexpr OptionName<std::string_view> kNorms[] = {
    {"instance", "instance"}, {"batch", "batch"}, {"layer", "layer"}, {"none", "none"}};

absl::Status ReadGan(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.gan.");
  GanConfig& config = train.gan;
  reader.ReadChoice("loss", kGanLossNames, config.loss);
  reader.ReadChoice("discriminator", kDiscriminatorNames, config.discriminator);
  reader.ReadChoice("norm", kNorms, config.norm);
  reader.Read("channels", 1, 256, true, config.channels);
  reader.Read("scales", 1, 3, true, config.scales);
  reader.ReadBool("spectral_norm", config.spectral_norm);
  reader.ReadDouble("learning_rate", IsShare, kShareRange, config.learning_rate);
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
  return reader.Finish();
}

absl::Status ReadVaegan(const Json& object, TrainConfig& train) {
  ObjectReader reader(object, "train.vaegan.");
  VaeganConfig& config = train.vaegan;
  reader.ReadWeight("reconstruction_weight", config.reconstruction_weight);
  reader.ReadWeight("kl_weight", config.kl_weight);
  reader.ReadWeight("feature_matching_weight", config.feature_matching_weight);
  reader.ReadWeight("regularization_weight", config.regularization_weight);
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
    {"faststyle", false, ReadFaststyle},
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
    const bool applies = message.of_every_family ||
                         std::find(family.options.begin(), family.options.end(), message.name) !=
                             family.options.end();
    if (!applies && !object.empty()) {
      return InvalidField("train." + name,
                          "does not apply to the family \"" + config.family + "\"; leave it out");
    }
    if (applies) {
      ATELIER_RETURN_IF_ERROR(message.read(object, config));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTrainOptions(const Family& family, const TrainConfig& config) {
  const GanConfig& gan = config.gan;
  if (gan.clip_weights > 0 && gan.gradient_penalty_weight > 0) {
    return InvalidField("train.gan.clip_weights",
                        "contradicts gan.gradient_penalty_weight; set one of them to 0");
  }
  if (gan.norm == "batch" && (gan.gradient_penalty_weight > 0 || gan.r1_weight > 0)) {
    return InvalidField("train.gan.norm",
                        "\"batch\" contradicts a gradient penalty, which judges every picture by "
                        "itself; use \"layer\", \"instance\" or \"none\"");
  }
  const bool adversary_only = family.from_noise && config.family != "vaegan";
  if (gan.steps > 1 && !adversary_only) {
    return InvalidField("train.gan.steps",
                        R"(above 1 is for the families "dcgan", "wgan" and "cgan")");
  }
  if (gan.mode_seeking_weight > 0 && !adversary_only) {
    return InvalidField("train.gan.mode_seeking_weight",
                        R"(is for the families "dcgan", "wgan" and "cgan")");
  }
  if (family.from_noise && gan.discriminator != DiscriminatorKind::kPatch) {
    return InvalidField("train.gan.discriminator",
                        "does not apply to a family that makes patterns; leave it out");
  }
  if (config.augment.adaptive && !config.augment.differentiable) {
    return InvalidField("train.augment.adaptive",
                        "steers augment.differentiable; set that to true as well");
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
