// The learning rate over time, as a share of the configured one.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "common/train_config.h"
#include "worker/models/safetensors.h"

namespace atelier::train {

// The share for step `step` of `steps`, counted from 0: a pure function. With f = final_share,
// D = decay_from steps and p = max(0, (step - D) / (steps - D)):
//
//   kConstant  1
//   kLinear    1 + (f - 1) p                        CycleGAN's, a step at a time rather than an
//   epoch kCosine    f + (1 - f) (1 + cos(pi p)) / 2      Loshchilov and Hutter 2017
//   (arXiv:1608.03983,
//                                                   equation 5, one run without restarts)
//   kPlateau   1; Plateau below has the rest
//
// times min(1, (step + 1) / warmup_steps), the linear warm-up (Goyal et al. 2017,
// arXiv:1706.02677).
double RateShare(const ScheduleConfig& schedule, std::int64_t step, std::int64_t steps);

// Cuts the rate when a metric stands still. Not thread-safe.
class Plateau {
 public:
  struct Options {
    double factor = 0.1;      // of the rate, at each cut
    int patience = 3;         // measurements in a row without an improvement that are forgiven
    double threshold = 1e-4;  // by which share of the best a measurement must be better to count
    double least_share = 1e-3;
  };

  Plateau() : Plateau(Options{}) {}
  explicit Plateau(const Options& options) : options_(options) {}

  // A new measurement; smaller is better. One that is not finite counts as no improvement.
  void Report(double metric);
  // The factor on RateShare.
  double share() const { return share_; }

  void Save(const std::string& name, models::TensorMap& state) const;
  // DATA_LOSS: missing or misshapen.
  absl::Status Load(const std::string& name, const models::TensorMap& state);

 private:
  Options options_;
  double best_ = 0;
  bool measured_ = false;
  int bad_ = 0;
  double share_ = 1;
};

}  // namespace atelier::train
