// Draws the pictures that a GAN has not learnt yet more often than the others.
//
// The optimal discriminator's logit is log p_data(x) - log p_G(x) (Goodfellow et al. 2014): real
// pictures with a high logit are those that the generator hardly makes. After Lee et al. 2021
// ("Self-diagnosing GAN", arXiv:2102.12033), who sample data by statistics of that logit over the
// training; the rule itself is ours and simpler. Each picture has a running mean m of its logits,
//
//   m ← decay m + (1 - decay) logit   (at first the logit itself),
//
// and with z the distance of m from the mean over all pictures seen so far, in deviations,
//
//   weight = clamp(exp(strength z), 1 / bound, bound);   1 for a picture not seen yet.
//
// Time is cut into windows of `window` steps. The weights for a window are fixed before the one
// before it begins, so batches may be made ahead: when the steps of window k are learnt, those of
// window k + 1 may be drawn already.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/models/safetensors.h"

namespace atelier::train {

// Weighted draws with replacement. Immutable, thread-safe.
class WeightedSampler {
 public:
  // Weights above 0. `set` keeps the draws of several data sets independent.
  WeightedSampler(std::uint64_t seed, std::vector<double> weights, std::int64_t set = 0);

  // The picture of the n-th sample since the beginning of training, keyed by (seed, sample, set,
  // kResample).
  std::int64_t At(std::int64_t sample) const;

  const std::vector<double>& weights() const { return weights_; }

 private:
  std::uint64_t seed_;
  std::int64_t set_;
  std::vector<double> weights_;
  std::vector<double> cumulative_;
};

// Owned by the training thread; what For returns may be used on any.
class ScoreResampling {
 public:
  struct Options {
    double decay = 0.9;
    double strength = 0.5;
    double bound = 4;
    std::int64_t window = 100;
    std::int64_t set = 0;  // of WeightedSampler
  };

  ScoreResampling(std::uint64_t seed, std::int64_t pictures, const Options& options);

  // The discriminator's mean logits, [N], of real pictures with these places in the data set.
  void Observe(const std::vector<std::int64_t>& pictures, const torch::Tensor& logits);

  // At the end of each step, in order, after Observe.
  void EndStep(std::int64_t step);

  // How to draw step `step`: the one being learnt, or one up to `window` further. Null: by the
  // data's usual order, because there are no scores yet.
  std::shared_ptr<const WeightedSampler> For(std::int64_t step) const;

  void Save(const std::string& name, models::TensorMap& state) const;
  // DATA_LOSS: missing or misshapen.
  absl::Status Load(const std::string& name, const models::TensorMap& state);

 private:
  std::vector<double> Weights() const;

  std::uint64_t seed_;
  Options options_;
  std::vector<double> means_;
  std::vector<bool> seen_;
  std::int64_t now_ = 0;                            // window of the step being learnt
  std::shared_ptr<const WeightedSampler> current_;  // of that window
  std::shared_ptr<const WeightedSampler> next_;
};

}  // namespace atelier::train
