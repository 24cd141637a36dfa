#include "bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace atelier::bench {
void Print(const Figure& figure) {
  nlohmann::ordered_json json = {{"bench", figure.bench},   {"case", figure.name},
                                 {"metric", figure.metric}, {"value", figure.value},
                                 {"unit", figure.unit},     {"better", figure.better}};
  if (figure.aim.has_value()) {
    json["aim"] = *figure.aim;
  }
  std::printf("%s\n", json.dump().c_str());
  std::fflush(stdout);
}

double Quantile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(std::ceil(p * static_cast<double>(values.size())));
  return values[std::min(values.size() - 1, rank == 0 ? 0 : rank - 1)];
}

}  // namespace atelier::bench
