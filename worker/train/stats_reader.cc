#include "worker/train/stats_reader.h"

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace atelier::train {
namespace {

// The numbers of a line whose keys begin with `prefix`, without it.
std::map<std::string, double> NumbersOf(const nlohmann::json& line, std::string_view prefix) {
  std::map<std::string, double> numbers;
  for (const auto& [key, value] : line.items()) {
    if (key.starts_with(prefix) && value.is_number()) {
      numbers[key.substr(prefix.size())] = value.get<double>();
    }
  }
  return numbers;
}

}  // namespace

Progress ReadProgress(const std::filesystem::path& stats, std::int64_t step) {
  Progress progress;
  std::ifstream file(stats);
  for (std::string text; std::getline(file, text);) {
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer() ||
        line["step"].get<std::int64_t>() > step) {
      continue;
    }
    progress.losses = NumbersOf(line, "loss/");
    if (std::map<std::string, double> metrics = NumbersOf(line, "metric/"); !metrics.empty()) {
      progress.metrics = std::move(metrics);
      progress.metrics_step = line["step"].get<std::int64_t>();
    }
  }
  return progress;
}

}  // namespace atelier::train
