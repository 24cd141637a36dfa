// The generators of patterns by name; generator_table.h has those of pictures.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/architecture.h"
#include "common/model_spec.h"
#include "worker/nn/pattern_generator.h"

namespace atelier::models {

// What a network is told of `classes` labels (0: unconditional), and of a vocabulary of `words`
// words, which change each other's meaning in a second layer.
nn::ConditionOptions LabelCondition(std::size_t classes);
nn::ConditionOptions WordCondition(std::size_t words);
// What the network of a model is told.
nn::ConditionOptions ConditionOf(const ModelSpec& spec);

// The capabilities of a model that makes patterns (atelier.v1.GenerateRequest has the controls).
std::vector<std::string> PatternCapabilities(bool has_labels, bool has_words = false);

// A network of "dcgan" or "classic" in evaluation mode, to be loaded or initialised by the caller.
// INVALID_ARGUMENT: a size that the layout does not have; UNIMPLEMENTED: not in this build.
absl::StatusOr<std::shared_ptr<nn::PatternGenerator>> MakePatternGenerator(
    const Architecture& architecture, const nn::ConditionOptions& condition);

// Whether `architecture` is of a network that starts from noise.
bool IsPattern(const Architecture& architecture);

}  // namespace atelier::models
