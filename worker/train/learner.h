// A network that learns: its weights, its Adam (Kingma and Ba 2015, arXiv:1412.6980), and what a
// checkpoint keeps of both. The families' steps are made of these. Not thread-safe.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/train_config.h"
#include "worker/models/safetensors.h"
#include "worker/train/gradient_buckets.h"
#include "worker/train/gradients.h"
#include "worker/train/random.h"
#include "worker/train/saved_state.h"

namespace atelier::train {

struct LearnerOptions {
  double learning_rate = 2e-4;
  double beta1 = 0.5;
  double beta2 = 0.999;
  double gradient_clip = 0;  // largest norm of the gradient; 0: off
};

// The generator's of a job.
LearnerOptions GeneratorOptions(const TrainConfig& config);

// Of each loss of a job: on with fp16.
LossScaler::Options ScalerOptions(const TrainConfig& config);

// A CPU generator for networks' initial weights and for noise.
at::Generator MakeRandom(std::uint64_t seed);

// For the masks of dropout, one a sample; `draw` tells several for one sample apart.
std::vector<at::Generator> DropoutRandoms(const TrainConfig& config, const SampleRange& samples,
                                          std::int64_t draw = 0);

class Learner final : public Saved {
 public:
  // `name` is the prefix of its tensors in a checkpoint. The network's weights are laid out as
  // channels_last and it is put into training mode. Parameters that want no gradient are left
  // alone.
  Learner(std::string name, std::shared_ptr<torch::nn::Module> network,
          const LearnerOptions& options);

  // The share of the learning rate that the next Step takes.
  void SetRateShare(double share);
  double learning_rate() const { return learning_rate_; }

  // On several ranks the gradients of the next backward(), the last one before Step, are sent while
  // it computes; without it they are sent in Step.
  void ExpectLastBackward();
  void ZeroGradients();
  // Adam's step on the gradients that are there, of a loss times `scale`, and on several ranks on
  // their mean: one pass over weights,
  // gradients and moments (at::_fused_adam_, on CPUs in vectors and threads), equal to
  // torch::optim::Adam's within fp32's rounding. False, and nothing changes, when they are not all
  // finite. That counts as skipped (TakeSkipped) unless the scale was above 1: then it was too
  // large for fp16 and will be lowered, which is how it is found (LossScaler).
  bool Step(double scale = 1);
  bool TakeSkipped() override { return std::exchange(skipped_, false); }
  void Join(ranks::RankGroup& group) override;
  std::vector<NamedNetwork> Networks() override { return {{name_, network_.get(), false}}; }

  // Weights and buffers as "NAME.KEY", moments as "NAME.KEY#exp_avg", "#exp_avg_sq" and "#step".
  void Save(models::TensorMap& state) const override;
  absl::Status Load(const models::TensorMap& state) override;

 private:
  // A parameter that learns. The moments have its memory layout; they are undefined before its
  // first step.
  struct Adam {
    torch::Tensor parameter;
    torch::Tensor average;
    torch::Tensor squares;
    std::int64_t steps = 0;
  };

  void Update();

  const std::string name_;
  const std::shared_ptr<torch::nn::Module> network_;
  const LearnerOptions options_;
  std::vector<std::string> keys_;  // of `adam_`, in its order
  std::vector<Adam> adam_;
  std::vector<torch::Tensor> parameters_;     // of `adam_`
  std::unique_ptr<GradientBuckets> buckets_;  // null: alone
  double learning_rate_;
  bool skipped_ = false;
};

}  // namespace atelier::train
