// The names users give to models, labels, data sets and jobs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace atelier {

// OK if `name` matches [a-z0-9][a-z0-9_-]{0,62}; else INVALID_ARGUMENT naming `field`.
absl::Status CheckName(std::string_view field, std::string_view name);

// A parsed "NAME", "NAME@VERSION" or "NAME@LABEL". Exactly one of `version` and `label` is set, or
// neither.
struct ModelRef {
  std::string name;
  std::uint32_t version = 0;  // 0: not given
  std::string label;          // empty: not given
};

// INVALID_ARGUMENT naming `field` when malformed. A label is never a number; versions are decimal
// integers from 1.
absl::StatusOr<ModelRef> ParseModelRef(std::string_view field, std::string_view text);

}  // namespace atelier
