// The model families by name: what the server must know of them without LibTorch. A new family is
// one row in family.cc and one in worker/train/train_step.cc, which says how it trains.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/train_config.h"

namespace atelier {

struct Family {
  std::string_view name;
  // What it makes from: pictures (restyling) or noise (patterns).
  bool from_noise = false;
  // Whether data.style must be given (true), or must not (false).
  bool has_style = false;
  // The labels of its pictures are the names of the folders in data.content.
  bool has_labels = false;
  // The family that this name stands for in a job with data.style; empty: none.
  std::string_view with_style;
  // It trains a generator of its own: the tier of set_defaults, and no other may be asked for.
  bool own_generator = false;
  // Whose width, TrainConfig::base_channels, may be chosen all the same.
  bool any_width = false;
  // No network learns: the pixels of data.content are optimised. Only the option messages that
  // `options` names apply.
  bool optimizes_pixels = false;
  // It learns from its adversary alone, which may take several steps for one of the generator and
  // be told to seek modes.
  bool adversary_alone = false;
  // Its discriminator looks at inputs and results together, as one picture of six channels.
  bool judges_pairs = false;
  // Its results are compared with single pictures of the style set (losses.statistics_weight).
  bool has_style_pictures = false;
  // It looks into its generator, which must be a ResNet.
  bool needs_resnet = false;
  // Its generator may make pictures at several levels (generator_options.multi_level).
  bool has_levels = false;
  // The only form that its adversarial loss may have; none: any.
  std::optional<GanLoss> only_loss;
  // The option that weighs its adversarial loss instead of gan.weight; empty: none.
  std::string_view adversarial_weight;
  // Weights of LossOptions that an option of its own is instead: {"total_variation_weight",
  // "faststyle.total_variation_weight"}.
  std::vector<std::pair<std::string_view, std::string_view>> own_losses;
  // The option messages of TrainSpec that apply, besides those that every network has.
  std::vector<std::string_view> options;
  // Puts the family's own defaults in place of the common ones.
  void (*set_defaults)(TrainConfig& config) = nullptr;
};

const std::vector<Family>& Families();

// The families that have a property, or the option message `options`, as a part of a sentence:
// "the family \"cut\"", "the families \"cyclegan\" and \"cut\"".
std::string FamiliesWith(bool Family::* property);
std::string FamiliesWith(std::string_view options);

// Takes aliases ("hdrgan" is "vaegan"); null: no such family. with_style is for the caller to
// follow.
const Family* FindFamily(std::string_view name);

}  // namespace atelier
