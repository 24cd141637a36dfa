// The generators by name. A new one is one row in generator_table.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/architecture.h"
#include "worker/models/weights.h"
#include "worker/nn/generator.h"
#include "worker/nn/norms.h"

namespace atelier::models {

// What a job file or a command calls a generator of pictures: "lite", "resnet-6", "resnet-9",
// "cut-resnet-6" and "cut-resnet-9" (CUT's anti-aliased layout), "unet-64",
// "unet-128", "unet-256", "transformer". `base_channels` 0 is the reference's own width.
// INVALID_ARGUMENT: no such name (the sentence lists all), or a width for one that has only one.
absl::StatusOr<Architecture> ArchitectureOf(std::string_view name, int base_channels = 0);

// A network for pictures, of a name of ArchitectureOf or one that a family has to itself
// ("shared-latent"), in evaluation mode, with LibTorch's default weights (to be loaded or
// initialised by the caller). UNIMPLEMENTED: not in this build.
// `dropout`: with dropout in training mode, where the layout has a place for it.
absl::StatusOr<std::shared_ptr<nn::Generator>> MakeGenerator(const Architecture& architecture,
                                                             bool dropout = false);

// ArchitectureOf and MakeGenerator.
absl::StatusOr<std::shared_ptr<nn::Generator>> MakeGenerator(std::string_view name);

// "instance", "batch", "layer" or "none". INVALID_ARGUMENT: another name.
absl::StatusOr<nn::NormKind> NormKindOf(std::string_view name);

// "lite" → "lite", "base" → "resnet-6", "quality" → "resnet-9". INVALID_ARGUMENT: another tier.
absl::StatusOr<std::string> GeneratorForTier(std::string_view tier);

// The other way round; empty: of none.
std::string TierOf(const Architecture& architecture);

}  // namespace atelier::models
