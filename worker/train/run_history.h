// What a run has told so far, small enough to be drawn: curves of a bounded number of points.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/train/trainer.h"

namespace atelier::train {

// By the names of stats.jsonl and of TensorBoard's curves: "images_per_s", "lr", "loss/NAME" and,
// when it was measured after this step, "metric/NAME".
std::map<std::string, double> CurvesOf(const Progress& progress);

struct CurvePoint {
  double step = 0;
  double value = 0;  // finite
};

// Points come one by one; when there are too many, neighbours are joined to their mean, the early
// ones and the late ones alike. Not thread-safe.
class Curve {
 public:
  explicit Curve(std::size_t most = 1000) : most_(most) {}

  // A value that is not finite is left out.
  void Add(std::int64_t step, double value);
  const std::vector<CurvePoint>& points() const { return points_; }
  // The newest value, not a mean.
  double last() const { return last_; }

 private:
  std::size_t most_;
  std::size_t stride_ = 1;  // values a point
  std::size_t pending_ = 0;
  CurvePoint sum_;
  double last_ = 0;
  std::vector<CurvePoint> points_;
};

// Not thread-safe.
class RunHistory {
 public:
  static constexpr std::size_t kMaxWarnings = 100;

  void Add(std::int64_t step, const std::map<std::string, double>& values);
  // Kept once for each sentence, the first hundred.
  void AddWarning(const std::string& sentence);
  // The lines of a stats.jsonl up to `last_step`, which it adds and returns as they were; lines
  // that are no such objects, for example one that was cut by a crash, are left out.
  std::string AddLines(std::string_view text, std::int64_t last_step);

  const std::map<std::string, Curve>& curves() const { return curves_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::map<std::string, Curve> curves_;
  std::vector<std::string> warnings_;
};

}  // namespace atelier::train
