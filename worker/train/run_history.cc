#include "worker/train/run_history.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/text.h"

namespace atelier::train {

std::map<std::string, double> CurvesOf(const Progress& progress) {
  std::map<std::string, double> values = {{"images_per_s", progress.images_per_s},
                                          {"lr", progress.learning_rate}};
  for (const auto& [name, value] : progress.losses) {
    values["loss/" + name] = value;
  }
  if (progress.metrics_step == progress.step) {
    for (const auto& [name, value] : progress.metrics) {
      values["metric/" + name] = value;
    }
  }
  return values;
}

void Curve::Add(std::int64_t step, double value) {
  if (!std::isfinite(value)) {
    return;
  }
  last_ = value;
  sum_.step += static_cast<double>(step);
  sum_.value += value;
  if (++pending_ < stride_) {
    return;
  }
  const auto count = static_cast<double>(pending_);
  points_.push_back({.step = sum_.step / count, .value = sum_.value / count});
  sum_ = {};
  pending_ = 0;
  if (points_.size() < most_) {
    return;
  }
  std::vector<CurvePoint> halved;
  for (std::size_t i = 0; i + 1 < points_.size(); i += 2) {
    halved.push_back({.step = (points_[i].step + points_[i + 1].step) / 2,
                      .value = (points_[i].value + points_[i + 1].value) / 2});
  }
  points_ = std::move(halved);
  stride_ *= 2;
}

void RunHistory::Add(std::int64_t step, const std::map<std::string, double>& values) {
  for (const auto& [name, value] : values) {
    curves_[name].Add(step, value);
  }
}

void RunHistory::AddWarning(const std::string& sentence) {
  if (warnings_.size() < kMaxWarnings &&
      std::ranges::find(warnings_, sentence) == warnings_.end()) {
    warnings_.push_back(sentence);
  }
}

std::string RunHistory::AddLines(std::string_view text, std::int64_t last_step) {
  constexpr std::string_view kNotCurves[] = {"step", "epoch", "time"};
  std::string kept;
  for (const std::string_view line : SplitText(text, '\n')) {
    const nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer() ||
        json["step"].get<std::int64_t>() > last_step) {
      continue;
    }
    std::map<std::string, double> values;
    for (const auto& [name, value] : json.items()) {
      if (value.is_number() && std::ranges::find(kNotCurves, name) == std::end(kNotCurves)) {
        values[name] = value.get<double>();
      }
    }
    Add(json["step"].get<std::int64_t>(), values);
    kept.append(line).append("\n");
  }
  return kept;
}

}  // namespace atelier::train
