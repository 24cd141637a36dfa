// Between backward() and the optimiser's step: norms, clipping, what to do when numbers are no
// longer numbers, and the scaling that fp16 needs.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/models/safetensors.h"

namespace atelier::train {

using Parameters = std::vector<torch::Tensor>;

// The length of all gradients together, summed in double; those that are not defined count as 0.
double GradientNorm(const Parameters& parameters);

// Scales all gradients so that their norm is at most `largest` (Pascanu et al. 2013,
// arXiv:1211.5063). Returns the norm before. A norm that is not finite is left for the caller to
// see. largest above 0.
double ClipGradients(const Parameters& parameters, double largest);

void ScaleGradients(const Parameters& parameters, double factor);

// Scalars by name; what is minimised is their sum.
using Losses = std::map<std::string, torch::Tensor>;

// Gradient accumulation: runs backward() on the sums of the losses of `parts` equal parts of a
// batch, each times 1 / parts, so that the gradients add up to those of the mean. Returns the mean
// losses by name, with the mean of their sums as "total".
std::map<std::string, double> AccumulateGradients(int parts,
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

// Dynamic loss scaling for fp16, one a loss (Micikevicius et al. 2018, arXiv:1710.03740, section
// 3.2): gradients too small for fp16 are computed times the scale. The figures are PyTorch's. Not
// thread-safe.
class LossScaler {
 public:
  struct Options {
    double scale = 65536;
    double growth = 2;
    double backoff = 0.5;
    int growth_interval = 2000;  // finite steps in a row before it grows
  };

  LossScaler() : LossScaler(Options{}) {}
  explicit LossScaler(const Options& options) : options_(options), scale_(options.scale) {}

  double scale() const { return scale_; }
  torch::Tensor Scale(const torch::Tensor& loss) const { return loss * scale_; }

  // Divides the gradients by the scale, then adapts it. False: they were not finite, and the step
  // is to be skipped.
  bool Unscale(const Parameters& parameters);

  void Save(const std::string& name, models::TensorMap& state) const;
  // DATA_LOSS: missing or misshapen.
  absl::Status Load(const std::string& name, const models::TensorMap& state);

 private:
  Options options_;
  double scale_;
  int finite_steps_ = 0;
};

}  // namespace atelier::train
