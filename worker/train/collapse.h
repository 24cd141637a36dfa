// What a run learns from its own measurements: that a generator makes one picture only, which
// checkpoint was the best, and that it is time to stop. Pure logic with a state for the checkpoint;
// not thread-safe.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "worker/models/safetensors.h"

namespace atelier::train {

// Mean over all pairs of the root mean squared difference of two rows of `samples` (pictures or
// features, [N, …], N at least 2), in doubles.
double MeanPairwiseDistance(const torch::Tensor& samples);

// Raises its alarm when pictures made from different noise or inputs have grown alike: their mean
// pairwise distance is below `ratio` of the real data's, `patience` times in a row. A fresh network
// makes one grey picture of everything, which is no collapse: such a measurement counts only after
// one above the ratio, or in the last part of the run. Ours.
class CollapseAlarm {
 public:
  struct Options {
    double ratio = 0.25;
    int patience = 2;
    double counts_from = 0.5;  // share of the run, where the pictures have never differed
  };

  CollapseAlarm() : CollapseAlarm(Options{}) {}
  explicit CollapseAlarm(const Options& options) : options_(options) {}

  // MeanPairwiseDistance of a fixed batch of results and of real pictures like those that it should
  // hold, and how much of the run is done, 0 to 1. True when the alarm goes off: once, then again
  // only after a measurement above the ratio.
  bool Report(double generated, double real, double done);
  // Whether a measurement was ever above the ratio.
  bool differed() const { return differed_; }

  void Save(const std::string& name, models::TensorMap& state) const;
  // DATA_LOSS: missing or misshapen.
  absl::Status Load(const std::string& name, const models::TensorMap& state);

 private:
  Options options_;
  int low_ = 0;  // measurements below in a row
  bool differed_ = false;
};

// The best measurement so far; smaller is better.
class BestByMetric {
 public:
  // `patience`: measurements in a row that are not better by more than `least` than the last one
  // that was, after which it is enough; 0: never.
  explicit BestByMetric(std::int64_t patience, double least = 0)
      : patience_(patience), least_(least) {}

  // True: the best so far. A measurement that is not finite never is.
  bool Report(std::int64_t step, double metric);
  bool enough() const { return patience_ > 0 && worse_ >= patience_; }

  // Below 0: none yet.
  std::int64_t step() const { return step_; }
  double metric() const { return metric_; }

  void Save(const std::string& name, models::TensorMap& state) const;
  // DATA_LOSS: missing or misshapen.
  absl::Status Load(const std::string& name, const models::TensorMap& state);

 private:
  std::int64_t patience_;
  double least_;
  std::int64_t step_ = -1;
  double metric_ = 0;
  double mark_ = 0;  // the last measurement that counted for the patience
  std::int64_t worse_ = 0;
};

}  // namespace atelier::train
