// Checks of option values that several commands share.
#pragma once

#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/time/time.h"

namespace atelier::cli {

// A number of the closed range; CLI::Range lets NaN pass.
CLI::Validator InRange(double lowest, double highest);

// A whole number of 64 bits; CLI11 reads -3 as an unsigned number.
CLI::Validator IsSeed();

// "90" and "90s" are 90 seconds; above 0, up to 24 hours.
std::optional<absl::Duration> ParseDeadline(const std::string& text);
CLI::Validator IsDeadline();

}  // namespace atelier::cli
