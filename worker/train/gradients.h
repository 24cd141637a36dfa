// Between backward() and the optimiser's step: norms, clipping, what to do when numbers are no
// longer numbers, and the scaling that fp16 needs.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "worker/models/safetensors.h"
#include "worker/train/saved_state.h"

namespace atelier::train {

using Parameters = std::vector<torch::Tensor>;

// The length of all gradients together, summed in double; those that are not defined count as 0. On
// a GPU it waits once.
double GradientNorm(const Parameters& parameters);

void ScaleGradients(const Parameters& parameters, double factor);

// Scalars by name; what is minimised is their sum.
using Losses = std::map<std::string, torch::Tensor>;

// Dynamic loss scaling for fp16, one a loss (Micikevicius et al. 2018, arXiv:1710.03740, section
// 3.2): gradients too small for fp16 are computed times the scale, and whoever steps divides by it.
// The figures are PyTorch's. Not thread-safe.
class LossScaler final : public Saved {
 public:
  struct Options {
    bool on = false;  // off: the scale is 1 and stays so, and a checkpoint keeps nothing
    double scale = 65536;
    double growth = 2;
    double backoff = 0.5;
    int growth_interval = 2000;  // finite steps in a row before it grows
  };

  // `name` is the prefix of its tensor in a checkpoint, NAME#scale.
  LossScaler(std::string name, const Options& options)
      : name_(std::move(name)), options_(options), scale_(options.scale) {}

  double scale() const { return options_.on ? scale_ : 1; }
  torch::Tensor Scale(const torch::Tensor& loss) const {
    return options_.on ? loss * scale_ : loss;
  }

  // Once a step, after it: whether all gradients of the scaled loss were finite. Adapts the scale.
  void Report(bool finite);

  void Save(models::TensorMap& state) const override;
  absl::Status Load(const models::TensorMap& state) override;

 private:
  const std::string name_;
  const Options options_;
  double scale_;
  int finite_steps_ = 0;
};

// Gradient accumulation: runs backward() on the sums of the losses of `parts` equal parts of a
// batch, each times 1 / parts and scaled, so that the gradients add up to those of the mean, times
// the scale. Returns the mean losses by name, unscaled, with the mean of their sums as "total".
std::map<std::string, double> AccumulateGradients(int parts, const LossScaler& scaler,
                                                  const std::function<Losses(int part)>& losses);

// Counts steps whose losses or gradients were not finite and says when to go back. Pure logic; the
// trainer does what it says. Not thread-safe.
//
// The last good state is the one of the newest checkpoint (Keep), not one of every few steps:
// then a run that was stopped and resumed goes back to the same place as one that was not.
class NanGuard {
 public:
  enum class Action {
    kGoOn,
    kSkipped,  // the step changed nothing; go on
    kRestore,  // load last_good(), then go on: the next step draws other random numbers
    kGiveUp,   // it has been restored before and not one step was good since
  };

  // After `most_skips` skipped steps in a row, at least 1, the state is restored.
  explicit NanGuard(int most_skips = 3);

  // Once a step. `finite`: all losses and gradients of the step were.
  Action Report(bool finite);

  // A copy to go back to, in memory. Ignored in a row of skipped steps, for such a state may be
  // what breaks them; a resumed run keeps the checkpoint's state before it calls Load.
  void Keep(models::TensorMap state);
  const models::TensorMap& last_good() const { return last_good_; }

  void Save(const std::string& name, models::TensorMap& state) const;
  // DATA_LOSS: missing or misshapen.
  absl::Status Load(const std::string& name, const models::TensorMap& state);

 private:
  int most_skips_;
  int skips_ = 0;
  bool restored_ = false;  // and no good step since
  models::TensorMap last_good_;
};

}  // namespace atelier::train
