#include "worker/metrics/set_checks.h"

#include <algorithm>
#include <string>

namespace atelier::metrics {

absl::Status CheckWidths(std::int64_t a, std::int64_t b) {
  if (a == b) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("the sets have " + std::to_string(a) + " and " +
                                    std::to_string(b) +
                                    " features a picture; both need the same network");
}

absl::Status CheckCounts(std::string_view metric, std::int64_t a, std::int64_t b,
                         std::int64_t needed, std::string_view why) {
  if (std::min(a, b) >= needed) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(std::string(metric) + " needs at least " +
                                       std::to_string(needed) + " pictures in each set (" +
                                       std::string(why) + "); the first has " + std::to_string(a) +
                                       ", the second " + std::to_string(b));
}

}  // namespace atelier::metrics
