// The generators of patterns by name; generator_table.h has those of pictures.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "common/architecture.h"
#include "worker/nn/pattern_generator.h"

namespace atelier::models {

// A network of "dcgan" or "classic" with `classes` labels (0: unconditional), in evaluation mode,
// to be loaded or initialised by the caller. INVALID_ARGUMENT: a size that the layout does not
// have; UNIMPLEMENTED: not in this build.
absl::StatusOr<std::shared_ptr<nn::PatternGenerator>> MakePatternGenerator(
    const Architecture& architecture, int classes);

// Whether `architecture` is of a network that starts from noise.
bool IsPattern(const Architecture& architecture);

}  // namespace atelier::models
