// How fast the training steps of the library are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace atelier::bench {

// The cases by name: "cyclegan-128", "cyclegan-256-bf16", "faststyle-256", …
std::vector<std::string> TrainCases();

// Runs `steps` timed steps of a case (after one to warm up) on pictures of noise, with fresh
// weights, and prints `steps_per_s` (of the median step) and `peak_rss_mib` of this process: one
// process a case, or the second figure is the largest of several. NOT_FOUND: no such case.
absl::Status RunTrainBench(std::string_view name, int steps);

}  // namespace atelier::bench
