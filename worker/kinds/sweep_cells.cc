#include "worker/kinds/sweep_cells.h"

#include <cmath>
#include <fstream>
#include <utility>

#include "common/files.h"
#include "common/short_number.h"
#include "common/status_macros.h"
#include "common/train_metrics.h"
#include "nlohmann/json.hpp"

namespace atelier::kinds {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr char kCellFile[] = "cell.json";
constexpr std::uint64_t kMaxCellBytes = 1 << 20;
constexpr std::string_view kMetric = "metric/";

bool IsBetter(const TrainConfig& config, double value, double other) {
  const TrainMetric* metric = FindTrainMetric(config.evaluate.decisive());
  return metric != nullptr && metric->higher_is_better ? value > other : value < other;
}

std::map<std::string, double> MetricsIn(const Json& line) {
  std::map<std::string, double> metrics;
  for (const auto& [key, value] : line.items()) {
    if (key.starts_with(kMetric) && value.is_number()) {
      metrics[key.substr(kMetric.size())] = value.get<double>();
    }
  }
  return metrics;
}

std::string CellText(const std::string& text) {
  std::string cell;
  for (const char c : text) {
    cell += c == '|' ? "\\|" : std::string(1, c);
  }
  return cell;
}

std::string CellNumber(std::optional<double> value) {
  return value.has_value() ? ShortNumber(*value) : "none";
}

}  // namespace

std::optional<double> CellOutcome::Decisive(const TrainConfig& config) const {
  const auto found = metrics.find(config.evaluate.decisive());
  return failed.empty() && found != metrics.end() ? std::optional(found->second) : std::nullopt;
}

fs::path CellFolder(const fs::path& attempt, std::size_t cell) {
  return attempt / "cells" / std::to_string(cell);
}

std::vector<fs::path> CellFolders(const JobPlace& place, std::size_t cell) {
  std::vector<fs::path> folders = {CellFolder(place.attempt_directory, cell)};
  for (const fs::path& attempt : place.earlier_attempts) {
    folders.push_back(CellFolder(attempt, cell));
  }
  return folders;
}

std::optional<CellOutcome> FindCellOutcome(const JobPlace& place, std::size_t cell) {
  for (const fs::path& folder : CellFolders(place, cell)) {
    const absl::StatusOr<std::string> text = ReadFile(folder / kCellFile, kMaxCellBytes);
    const Json json = Json::parse(text.ok() ? *text : "", nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) {
      continue;
    }
    CellOutcome outcome;
    outcome.failed = json.value("failed", "");
    outcome.steps = json.value("steps", std::int64_t{0});
    outcome.step = json.value("step", std::int64_t{0});
    outcome.metrics = json.value("metrics", std::map<std::string, double>());
    outcome.folder = folder;
    std::error_code error;
    if (!outcome.failed.empty() || fs::exists(folder / "result" / "model.json", error)) {
      return outcome;
    }
  }
  return std::nullopt;
}

absl::Status WriteCellOutcome(const fs::path& folder, const CellOutcome& outcome) {
  Json json = {{"steps", outcome.steps}, {"step", outcome.step}, {"metrics", outcome.metrics}};
  if (!outcome.failed.empty()) {
    json["failed"] = outcome.failed;
  }
  return WriteFileAtomically(folder / kCellFile, json.dump(2) + "\n");
}

CellOutcome ReadCellNumbers(const fs::path& folder, const TrainConfig& config) {
  CellOutcome outcome;
  std::ifstream stats(folder / "stats.jsonl");
  bool found = false;
  for (std::string text; std::getline(stats, text);) {
    const Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!line.is_object()) {
      continue;  // cut off by a crash
    }
    const std::map<std::string, double> metrics = MetricsIn(line);
    const auto decisive = metrics.find(config.evaluate.decisive());
    if (decisive == metrics.end() || !std::isfinite(decisive->second)) {
      continue;
    }
    const bool better =
        !found || IsBetter(config, decisive->second, outcome.Decisive(config).value_or(0));
    if (better || !config.evaluate.best_result) {
      outcome.metrics = metrics;
      outcome.step = line.value("step", std::int64_t{0});
      found = true;
    }
  }
  return outcome;
}

std::size_t BestCell(const SweepConfig& sweep, const std::vector<CellOutcome>& outcomes) {
  std::size_t best = 0;
  double best_value = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const TrainConfig& config = sweep.cells[i].config;
    const std::optional<double> value = outcomes[i].Decisive(config);
    if (value.has_value() && (best == 0 || IsBetter(config, *value, best_value))) {
      best = i + 1;
      best_value = *value;
    }
  }
  return best;
}

std::string FormatSweep(const SweepConfig& sweep, const std::vector<CellOutcome>& outcomes,
                        std::size_t best) {
  const std::string& decisive = sweep.cells.front().config.evaluate.decisive();
  const TrainMetric* metric = FindTrainMetric(decisive);
  nlohmann::ordered_json json = {
      {"best_by", decisive},
      {"higher_is_better", metric != nullptr && metric->higher_is_better},
      {"best", best},
      {"cells", nlohmann::ordered_json::array()}};
  for (std::size_t i = 0; i < sweep.cells.size(); ++i) {
    nlohmann::ordered_json cell = {{"cell", i + 1}, {"options", sweep.cells[i].options}};
    if (i >= outcomes.size()) {
      cell["state"] = "waiting";
    } else if (!outcomes[i].failed.empty()) {
      cell["state"] = "failed";
      cell["reason"] = outcomes[i].failed;
    } else {
      cell["state"] = "done";
      cell["step"] = outcomes[i].step;
      cell["metrics"] = outcomes[i].metrics;
    }
    json["cells"].push_back(std::move(cell));
  }
  return json.dump(2) + "\n";
}

std::string FormatSweepCard(const SweepConfig& sweep, const std::vector<CellOutcome>& outcomes,
                            std::size_t best) {
  const TrainConfig& config = sweep.cells.front().config;
  const std::string& decisive = config.evaluate.decisive();
  std::string text = "\n## Sweep\n\nThis is cell " + std::to_string(best) + " of " +
                     std::to_string(sweep.cells.size()) + ", the best by `" + decisive +
                     "`.\n\n| cell | options | " + decisive + " |\n| --- | --- | --- |\n";
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const CellOutcome& outcome = outcomes[i];
    text += "| " + std::to_string(i + 1) + " | " + CellText(sweep.cells[i].name) + " | " +
            (outcome.failed.empty() ? CellNumber(outcome.Decisive(config)) : "failed") + " |\n";
  }
  return text;
}

}  // namespace atelier::kinds
