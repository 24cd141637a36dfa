// What every network is that judges patterns of one size, told or not told what they should show.
#pragma once

#include <ATen/core/Generator.h>

#include <vector>

#include "worker/nn/condition_encoder.h"
#include "worker/nn/discriminator.h"

namespace atelier::nn {

class PatternDiscriminator : public Discriminator {
 public:
  // x: float [N, 3, S, S] in [-1, 1]; condition: see PatternGenerator::forward, undefined for an
  // unconditional network. One map of logits, [N, 1, 1, 1].
  virtual Judgement JudgeConditional(const torch::Tensor& x, const torch::Tensor& condition) = 0;

  // Of unconditional networks.
  Judgement Judge(const torch::Tensor& x) final { return JudgeConditional(x, {}); }

  // Labels, attributes or words of the condition; 0: unconditional.
  int condition_entries() const { return condition_entries_; }

  // Where dropout's masks are drawn from: see Generator::SetDropoutRandom.
  virtual void SetDropoutRandom(const std::vector<at::Generator>& /*randoms*/) {}

 protected:
  // `condition`: without entries unconditional; its size are the channels of the last features.
  // Registers "condition", with spectral norm if `spectral`.
  PatternDiscriminator(const ConditionOptions& condition, bool spectral);

  // Adds to the logits the inner product of the embedded condition with the last features, summed
  // over the picture (Miyato and Koyama 2018, arXiv:1802.05637).
  void ProjectCondition(const torch::Tensor& condition, Judgement& judgement);
  // The condition's weights belong to the last layer.
  void AddConditionTo(Layer& layer) const;

 private:
  int condition_entries_;
  ConditionEncoder condition_{nullptr};
};

}  // namespace atelier::nn
