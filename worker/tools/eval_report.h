// What atelier-eval prints.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace atelier::tools {

// Numbers measured picture by picture.
class Series {
 public:
  void Add(double value) { values_.push_back(value); }
  bool empty() const { return values_.empty(); }
  double Mean() const;
  double Lowest() const;
  double Highest() const;

 private:
  std::vector<double> values_;
};

// Metrics in the order they were added, as a table for people or as one JSON object.
class EvalReport {
 public:
  // command: "sets", "pairs", ...; network: what the feature metrics are named after.
  EvalReport(std::string command, std::string network);

  // How many pictures of a folder were measured: "pictures": {"a": 12}.
  void AddPictures(const std::string& folder, std::int64_t count);

  // key: of the JSON object; label, hint: of the table.
  void AddMetric(const std::string& key, const std::string& label, double value,
                 const std::string& hint);
  // The mean under `key`, the ends under <key>_min and <key>_max.
  void AddSeries(const std::string& key, const std::string& label, const Series& series,
                 const std::string& hint);
  // A metric that could not be computed: null, and the sentence in "errors".
  void AddFailure(const std::string& key, const std::string& label, const absl::Status& status);
  // In the JSON object only.
  void AddDetail(const std::string& key, nlohmann::ordered_json value);

  void SetSkipped(const std::vector<std::string>& skipped);
  void SetUnmatched(const std::vector<std::string>& unmatched);

  const std::vector<std::string>& skipped() const { return skipped_; }
  const std::vector<std::string>& unmatched() const { return unmatched_; }
  // A sentence for each failure; equal ones only once.
  const std::vector<std::string>& failures() const { return failures_; }

  std::string Text() const;
  std::string Json() const;

 private:
  void AddRow(const std::string& label, const std::string& value, const std::string& hint);

  nlohmann::ordered_json json_;
  std::string network_;
  std::string rows_;
  std::vector<std::string> skipped_;
  std::vector<std::string> unmatched_;
  std::vector<std::string> failures_;
};

}  // namespace atelier::tools
