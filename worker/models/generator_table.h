// The generators by name. A new one is one row in generator_table.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/models/weights.h"
#include "worker/nn/generator.h"

namespace atelier::models {

// "lite", "resnet-6" or "resnet-9", in evaluation mode, with LibTorch's default weights (to be
// loaded or initialised by the caller). UNIMPLEMENTED: no such generator in this build.
absl::StatusOr<std::shared_ptr<nn::Generator>> MakeGenerator(std::string_view name);

// "lite" → "lite", "base" → "resnet-6", "quality" → "resnet-9". INVALID_ARGUMENT: another tier.
absl::StatusOr<std::string> GeneratorForTier(std::string_view tier);

}  // namespace atelier::models
