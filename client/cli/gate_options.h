// The options of a promotion's gate, which `jobs publish` and `models promote` share.
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "atelier/v1/models.pb.h"
#include "client/cli/session.h"

namespace atelier::cli {

struct GateOptions {
  std::string content;  // empty: no gate
  std::string style;
  std::vector<std::string> metrics;
  std::uint32_t pictures = 0;
  std::uint32_t size = 0;
  std::uint64_t seed = 0;
  std::optional<double> tolerance;
  std::uint32_t min_ratings = 0;
  std::optional<double> score_tolerance;
  bool force = false;
};

// Adds --gate and the options that need it, and --force.
void AddGateOptions(CLI::App& command, GateOptions& options);

// The options about ratings, which only a published version can have: to be called after
// AddGateOptions.
void AddRatingOptions(CLI::App& command, GateOptions& options);

// Nothing without --gate.
std::optional<v1::PromotionGate> GateOf(const GateOptions& options);

// The table of what was measured; nothing of a report without numbers.
void PrintGate(std::ostream& out, const v1::GateReport& report);

// As Fail, with the table of a gate's refusal in front where `status` has one.
ExitCode FailWithGate(Session& session, const absl::Status& status);

}  // namespace atelier::cli
