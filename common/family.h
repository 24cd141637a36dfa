// The model families by name: what the server must know of them without LibTorch. A new family is
// one row in family.cc and one in worker/train/train_step.cc, which says how it trains.
#pragma once

#include <string_view>
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
  // The option messages of TrainSpec that apply, besides those that every network has.
  std::vector<std::string_view> options;
  // Puts the family's own defaults in place of the common ones.
  void (*set_defaults)(TrainConfig& config) = nullptr;
};

const std::vector<Family>& Families();

// Takes aliases ("hdrgan" is "vaegan"); null: no such family. with_style is for the caller to
// follow.
const Family* FindFamily(std::string_view name);

}  // namespace atelier
