// What every metric of two sets wants of them.
#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

namespace atelier::metrics {

// INVALID_ARGUMENT: the two sets have different numbers of features.
absl::Status CheckWidths(std::int64_t a, std::int64_t b);

// FAILED_PRECONDITION, "<metric> needs at least <needed> pictures in each set (<why>); the first
// has <a>, the second <b>".
absl::Status CheckCounts(std::string_view metric, std::int64_t a, std::int64_t b,
                         std::int64_t needed, std::string_view why);

}  // namespace atelier::metrics
