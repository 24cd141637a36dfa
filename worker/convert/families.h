// Which family a generator of an unknown origin is of. Pure functions, thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/architecture.h"
#include "common/model_spec.h"

namespace atelier::convert {

// `told`: what the user says, or empty for the family that usually has such a generator.
// INVALID_ARGUMENT naming `header.family`: unknown, or not one that trains such a generator.
absl::StatusOr<std::string> FamilyOf(const Architecture& architecture, std::string_view told);

// INVALID_ARGUMENT naming `header.family`: `told` is neither empty nor the family of `spec`.
absl::Status CheckFamily(const ModelSpec& spec, std::string_view told);

}  // namespace atelier::convert
