// What follows from the measurements of a run: which step was the best, that it is time to stop,
// and that the learning rate is to be cut. Pure logic with a state for the checkpoint.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "common/train_config.h"
#include "worker/models/safetensors.h"
#include "worker/train/collapse.h"
#include "worker/train/schedule.h"

namespace atelier::train {

// Not thread-safe.
class MetricWatch {
 public:
  // evaluate on, its metrics known.
  explicit MetricWatch(const TrainConfig& config);

  // The decisive metric after `step` steps; one that is not finite is no improvement. True: the
  // best so far.
  bool Report(std::int64_t step, double metric);

  // Below 0: none yet.
  std::int64_t best_step() const { return best_.step(); }
  double best_metric() const { return sign_ * best_.metric(); }
  // Whether evaluate.patience is at its end.
  bool enough() const { return best_.enough(); }
  // The factor on the learning rates; 1 but with the schedule "plateau".
  double rate_factor() const { return plateau_on_ ? plateau_.share() : 1; }

  void Save(const std::string& name, models::TensorMap& state) const;
  // DATA_LOSS: missing or misshapen.
  absl::Status Load(const std::string& name, const models::TensorMap& state);

 private:
  double sign_;  // -1: higher is better
  BestByMetric best_;
  bool plateau_on_;
  Plateau plateau_;
};

}  // namespace atelier::train
