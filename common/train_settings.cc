#include "common/train_settings.h"

#include <algorithm>
#include <iterator>

#include "common/check.h"
#include "common/family.h"
#include "common/option_names.h"
#include "nlohmann/json.hpp"

namespace atelier {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson Of(const GanConfig& gan) {
  return {{"loss", NameOf(kGanLossNames, gan.loss)},
          {"discriminator", NameOf(kDiscriminatorNames, gan.discriminator)},
          {"norm", gan.norm},
          {"channels", gan.channels},
          {"scales", gan.scales},
          {"spectral_norm", gan.spectral_norm},
          {"antialias", gan.antialias},
          {"learning_rate", gan.learning_rate},
          {"adam_beta1", gan.adam_beta1},
          {"adam_beta2", gan.adam_beta2},
          {"steps", gan.steps},
          {"freeze_layers", gan.freeze_layers},
          {"weight", gan.weight},
          {"gradient_penalty_weight", gan.gradient_penalty_weight},
          {"r1_weight", gan.r1_weight},
          {"clip_weights", gan.clip_weights},
          {"feature_matching_weight", gan.feature_matching_weight},
          {"mode_seeking_weight", gan.mode_seeking_weight},
          {"pool_size", gan.pool_size}};
}

OrderedJson Of(const ScheduleConfig& schedule) {
  return {{"kind", NameOf(kScheduleNames, schedule.kind)},
          {"decay_from", schedule.decay_from},
          {"final_share", schedule.final_share},
          {"warmup_steps", schedule.warmup_steps},
          {"plateau_factor", schedule.plateau_factor},
          {"plateau_patience", schedule.plateau_patience},
          {"plateau_threshold", schedule.plateau_threshold}};
}

OrderedJson Of(const EvaluateConfig& evaluate) {
  return {{"every_steps", evaluate.every_steps},
          {"every_epochs", evaluate.every_epochs},
          {"metrics", evaluate.metrics},
          {"pictures", evaluate.pictures},
          {"held_out", evaluate.held_out},
          {"best_by", evaluate.decisive()},
          {"result", NameOf(kResultNames, evaluate.best_result)},
          {"patience", evaluate.patience},
          {"min_delta", evaluate.min_delta}};
}

OrderedJson Of(const ResampleConfig& resample) {
  return {{"strength", resample.strength},
          {"bound", resample.bound},
          {"window", resample.window},
          {"decay", resample.decay}};
}

OrderedJson Of(const LossesConfig& losses) {
  return {{"perceptual_weight", losses.perceptual_weight},
          {"structure_weight", losses.structure_weight},
          {"statistics_weight", losses.statistics_weight},
          {"total_variation_weight", losses.total_variation_weight},
          {"regularization_weight", losses.regularization_weight}};
}

OrderedJson Of(const GeneratorConfig& options) {
  return {{"norm", options.norm},
          {"antialias", options.antialias},
          {"resize_convolution", options.resize_convolution},
          {"multi_level", options.multi_level}};
}

OrderedJson Of(const AugmentConfig& augment) {
  return {{"rotation", augment.rotation},
          {"shift", augment.shift},
          {"shear", augment.shear},
          {"zoom", augment.zoom},
          {"flip", augment.flip},
          {"border", NameOf(kBorderNames, augment.reflect)},
          {"differentiable", augment.differentiable},
          {"adaptive", augment.adaptive}};
}

OrderedJson Of(const FaststyleConfig& faststyle) {
  return {{"content_weight", faststyle.content_weight},
          {"style_weight", faststyle.style_weight},
          {"total_variation_weight", faststyle.total_variation_weight},
          {"adversarial_weight", faststyle.adversarial_weight},
          {"luminance_weight", faststyle.luminance_weight},
          {"color_weight", faststyle.color_weight},
          {"chroma_weight", faststyle.chroma_weight},
          {"style_size", faststyle.style_size}};
}

OrderedJson Of(const ReferenceConfig& reference) {
  return {{"content_weight", reference.content_weight},
          {"style_weight", reference.style_weight},
          {"total_variation_weight", reference.total_variation_weight}};
}

OrderedJson Of(const GatysConfig& gatys) {
  return {{"content_weight", gatys.content_weight},
          {"style_weight", gatys.style_weight},
          {"total_variation_weight", gatys.total_variation_weight},
          {"iterations", gatys.iterations}};
}

OrderedJson Of(const CutConfig& cut) {
  return {{"nce_weight", cut.nce_weight}, {"layers", cut.layers},
          {"patches", cut.patches},       {"temperature", cut.temperature},
          {"identity", cut.identity},     {"flip_equivariance", cut.flip_equivariance}};
}

OrderedJson Of(const MultistyleConfig& multistyle) { return {{"mix_share", multistyle.mix_share}}; }

OrderedJson Of(const CycleganConfig& cyclegan) {
  return {{"cycle_weight", cyclegan.cycle_weight}, {"identity_weight", cyclegan.identity_weight}};
}

OrderedJson Of(const Pix2pixConfig& pix2pix) {
  return {{"l1_weight", pix2pix.l1_weight}, {"edges", pix2pix.edges}};
}

OrderedJson Of(const PatternConfig& pattern) {
  return {{"architecture", NameOf(kPatternNames, pattern.classic)},
          {"latent_size", pattern.latent_size},
          {"resize_convolution", pattern.resize_convolution},
          {"condition", NameOf(kConditionNames, pattern.words)}};
}

OrderedJson Of(const VaeganConfig& vaegan) {
  return {{"reconstruction_weight", vaegan.reconstruction_weight},
          {"kl_weight", vaegan.kl_weight},
          {"feature_matching_weight", vaegan.feature_matching_weight},
          {"regularization_weight", vaegan.regularization_weight},
          {"cycle_weight", vaegan.cycle_weight},
          {"cycle_kl_weight", vaegan.cycle_kl_weight}};
}

template <auto kMember>
OrderedJson OfMember(const TrainConfig& config) {
  return Of(config.*kMember);
}

// The messages of TrainSpec that not every family has.
struct SettingsMessage {
  std::string_view name;
  OrderedJson (*of)(const TrainConfig& config);
};

constexpr SettingsMessage kSettingsMessages[] = {
    {"schedule", OfMember<&TrainConfig::schedule>},
    {"resample", OfMember<&TrainConfig::resample>},
    {"losses", OfMember<&TrainConfig::losses>},
    {"generator_options", OfMember<&TrainConfig::generator_options>},
    {"faststyle", OfMember<&TrainConfig::faststyle>},
    {"multistyle", OfMember<&TrainConfig::multistyle>},
    {"reference", OfMember<&TrainConfig::reference>},
    {"gatys", OfMember<&TrainConfig::gatys>},
    {"cyclegan", OfMember<&TrainConfig::cyclegan>},
    {"pix2pix", OfMember<&TrainConfig::pix2pix>},
    {"cut", OfMember<&TrainConfig::cut>},
    {"pattern", OfMember<&TrainConfig::pattern>},
    {"vaegan", OfMember<&TrainConfig::vaegan>},
};

// The message `name` of TrainSpec, which some family has.
OrderedJson OptionsOf(std::string_view name, const TrainConfig& config) {
  const auto* const message = std::ranges::find(kSettingsMessages, name, &SettingsMessage::name);
  ATELIER_CHECK(message != std::end(kSettingsMessages));
  return message->of(config);
}

}  // namespace

std::string TrainSettings(const TrainConfig& config) {
  OrderedJson json = {{"family", config.family},
                      {"tier", config.tier},
                      {"generator", config.generator},
                      {"base_channels", config.base_channels},
                      {"content", config.content_dataset},
                      {"style", config.style_dataset},
                      {"steps", config.steps},
                      {"epochs", config.epochs},
                      {"batch_size", config.batch_size},
                      {"accumulate", config.accumulate},
                      {"image_size", config.image_size},
                      {"seed", config.seed},
                      {"sample_every_epochs", config.sample_every_epochs},
                      {"checkpoint_every_steps", config.checkpoint_every_steps},
                      {"keep_checkpoints", config.keep_checkpoints},
                      {"learning_rate", config.learning_rate},
                      {"adam_beta1", config.adam_beta1},
                      {"adam_beta2", config.adam_beta2},
                      {"precision", PrecisionName(config.precision)},
                      {"ema_decay", config.ema_decay},
                      {"gradient_clip", config.gradient_clip},
                      {"init_from", config.init_from},
                      {"gan", Of(config.gan)},
                      {"schedule", Of(config.schedule)},
                      {"augment", Of(config.augment)},
                      {"evaluate", Of(config.evaluate)}};
  // Only where it is said: checkpoints of earlier releases keep their fingerprints.
  if (config.upscale) {
    json["upscale"] = true;
  }
  if (config.compresses()) {
    json["compress"] = {{"model", config.compress.model},
                        {"keep", config.compress.keep},
                        {"pixel_weight", config.compress.pixel_weight},
                        {"perceptual_weight", config.losses.perceptual_weight}};
  }
  if (const Family* family = FindFamily(config.family); family != nullptr) {
    for (const std::string_view name : family->options) {
      json[std::string(name)] = OptionsOf(name, config);
    }
  }
  return json.dump();
}

}  // namespace atelier
