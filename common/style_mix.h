// A mixture of the styles that a model knows: checked by the server, computed by the worker.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace atelier {

// The most styles that one model may know.
inline constexpr std::size_t kMaxStyles = 100;

// A style's part in a mixture.
struct StyleShare {
  std::string label;
  float weight = 0;
};

// The weight of each of `classes`, a model's labels; they sum to 1. An empty mixture is the first
// class alone. INVALID_ARGUMENT naming `mix`: more than 64 shares, a label that is not among the
// classes (the sentence lists them) or comes twice, a weight that is not finite or below 0, nothing
// above 0.
absl::StatusOr<std::vector<float>> MixWeights(const std::vector<StyleShare>& mix,
                                              const std::vector<std::string>& classes);

}  // namespace atelier
