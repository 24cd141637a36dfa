#include "client/cli/validators.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "client/cli/output.h"

namespace atelier::cli {

CLI::Validator InRange(double lowest, double highest) {
  const std::string range = NumberText(lowest, 5) + " to " + NumberText(highest, 5);
  return CLI::Validator(
      [=](const std::string& text) {
        double value = 0;
        const bool fits = absl::SimpleAtod(text, &value) && value >= lowest && value <= highest;
        return fits ? std::string() : text + " is not a number from " + range;
      },
      range);
}

CLI::Validator IsSeed() {
  return CLI::Validator(
      [](const std::string& text) {
        std::uint64_t seed = 0;
        return absl::SimpleAtoi(text, &seed) ? std::string()
                                             : text + " is not a whole number of 0 or above";
      },
      "");
}

std::optional<absl::Duration> ParseDeadline(const std::string& text) {
  double seconds = 0;
  absl::Duration duration;
  if (absl::SimpleAtod(text, &seconds) && std::isfinite(seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return std::nullopt;
  }
  if (duration <= absl::ZeroDuration() || duration > absl::Hours(24)) {
    return std::nullopt;
  }
  return duration;
}

CLI::Validator IsDeadline() {
  return CLI::Validator(
      [](const std::string& text) {
        return ParseDeadline(text).has_value()
                   ? std::string()
                   : text + " is not a time up to 24h, for example 60, 90s or 2m";
      },
      "TIME");
}

}  // namespace atelier::cli
