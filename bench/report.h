// What a benchmark prints: a JSON object a line on standard output, a readable line on standard
// error.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace atelier::bench {

struct Figure {
  std::string bench;   // "serve"
  std::string name;    // the case: "lite-256"
  std::string metric;  // "p50_ms"
  double value = 0;
  std::string unit;           // "ms"
  std::string better;         // "lower" or "higher"
  std::optional<double> aim;  // of the design's section 5
};

void Print(const Figure& figure);

// The p-quantile (0..1) of `values` by the nearest rank; `values` must not be empty.
double Quantile(std::vector<double> values, double p);

}  // namespace atelier::bench
