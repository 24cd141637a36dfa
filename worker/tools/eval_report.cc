#include "worker/tools/eval_report.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <utility>

namespace atelier::tools {
namespace {

constexpr std::size_t kLabelWidth = 22;
constexpr std::size_t kValueWidth = 12;

std::string Padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size() + 1), ' ');
  return text;
}

std::string Rounded(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.5g", value);
  return text;
}

}  // namespace

double Series::Mean() const {
  return std::accumulate(values_.begin(), values_.end(), 0.0) / static_cast<double>(values_.size());
}

double Series::Lowest() const { return *std::min_element(values_.begin(), values_.end()); }

double Series::Highest() const { return *std::max_element(values_.begin(), values_.end()); }

EvalReport::EvalReport(std::string command, std::string network) : network_(std::move(network)) {
  json_["command"] = std::move(command);
  json_["network"] = network_;
  json_["pictures"] = nlohmann::ordered_json::object();
  json_["skipped"] = nlohmann::ordered_json::array();
}

void EvalReport::AddPictures(const std::string& folder, std::int64_t count) {
  json_["pictures"][folder] = count;
}

void EvalReport::AddRow(const std::string& label, const std::string& value,
                        const std::string& hint) {
  rows_ += Padded(label, kLabelWidth) + Padded(value, kValueWidth) + hint + "\n";
}

void EvalReport::AddMetric(const std::string& key, const std::string& label, double value,
                           const std::string& hint) {
  json_[key] = value;
  AddRow(label, Rounded(value), hint);
}

void EvalReport::AddSeries(const std::string& key, const std::string& label, const Series& series,
                           const std::string& hint) {
  json_[key] = series.Mean();
  json_[key + "_min"] = series.Lowest();
  json_[key + "_max"] = series.Highest();
  AddRow(label, Rounded(series.Mean()),
         "from " + Rounded(series.Lowest()) + " to " + Rounded(series.Highest()) + "; " + hint);
}

void EvalReport::AddFailure(const std::string& key, const std::string& label,
                            const absl::Status& status) {
  const std::string sentence(status.message());
  json_[key] = nullptr;
  json_["errors"][key] = sentence;
  if (std::find(failures_.begin(), failures_.end(), sentence) == failures_.end()) {
    failures_.push_back(sentence);
  }
  AddRow(label, "-", sentence);
}

void EvalReport::AddDetail(const std::string& key, nlohmann::ordered_json value) {
  json_[key] = std::move(value);
}

void EvalReport::SetSkipped(const std::vector<std::string>& skipped) {
  skipped_ = skipped;
  json_["skipped"] = skipped;
}

void EvalReport::SetUnmatched(const std::vector<std::string>& unmatched) {
  unmatched_ = unmatched;
  json_["unmatched"] = unmatched;
}

std::string EvalReport::Text() const {
  std::string head = network_ + ";";
  for (const auto& [folder, count] : json_["pictures"].items()) {
    head += " " + folder + " " + std::to_string(count.get<std::int64_t>()) + ",";
  }
  head.back() = '\n';
  std::string tail;
  if (!skipped_.empty()) {
    tail += std::to_string(skipped_.size()) + " unreadable, left out\n";
  }
  if (!unmatched_.empty()) {
    tail += std::to_string(unmatched_.size()) + " without a partner, left out\n";
  }
  return head + rows_ + tail;
}

std::string EvalReport::Json() const {
  // File names need not be UTF-8.
  return json_.dump(-1, ' ', /*ensure_ascii=*/false,
                    nlohmann::ordered_json::error_handler_t::replace) +
         "\n";
}

}  // namespace atelier::tools
