// A discriminator that learns, with everything that the families vary about it: the form of the
// loss, penalties, its memory of earlier pictures, and how the generator learns from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/models/safetensors.h"
#include "worker/nn/discriminator.h"
#include "worker/train/diff_augment.h"
#include "worker/train/gradients.h"
#include "worker/train/image_pool.h"
#include "worker/train/learner.h"

namespace atelier::train {

// The discriminator of `config`, with fresh weights from `random`, its first gan.freeze_layers
// frozen. The projected one needs the feature network: DATA_LOSS, NOT_FOUND.
absl::StatusOr<std::shared_ptr<nn::Discriminator>> MakeDiscriminator(
    const GanConfig& config, int in_channels, const std::filesystem::path& feature_weights,
    const at::Generator& random);

// The first `count` layers learn nothing from now on. INVALID_ARGUMENT: none would be left to
// learn.
absl::Status FreezeLayers(nn::Discriminator& network, int count);

// How a network judges pictures float [N, C, H, W]; `condition` is undefined where there is none.
using Judge = std::function<nn::Discriminator::Judgement(const torch::Tensor& pictures,
                                                         const torch::Tensor& condition)>;

// A generated picture at one scale or, finest first, at several (generator_options.multi_level).
using Levels = std::vector<torch::Tensor>;

// Not thread-safe.
class Adversary final : public Saved {
 public:
  // `name` is the prefix of its tensors in a checkpoint; `index` tells several adversaries of a
  // step apart where they draw randomly. `judge` calls `network`.
  Adversary(std::string name, std::int64_t index, const TrainConfig& config,
            std::shared_ptr<nn::Discriminator> network, Judge judge);
  Adversary(std::string name, std::int64_t index, const TrainConfig& config,
            const std::shared_ptr<nn::Discriminator>& network);

  // One step of the discriminator on as many real as generated pictures, in [-1, 1]; no gradient
  // reaches them. Its loss is DiscriminatorLoss, with gan.halved half of it as in
  // junyanz/pytorch-CycleGAN-and-pix2pix and CUT, and penalties. Returns it. `samples`, those of
  // the pictures, key its draws.
  double Learn(const torch::Tensor& real, const torch::Tensor& fake, const SampleRange& samples,
               const torch::Tensor& condition = {}) {
    return Learn(real, Levels{fake}, samples, condition);
  }
  double Learn(const torch::Tensor& real, const Levels& fake, const SampleRange& samples,
               const torch::Tensor& condition = {}) {
    return Learn(real, fake, samples, condition, /*parts=*/1);
  }
  // The same of one of the `accumulate` equal parts of a batch, in their order: the gradients of
  // the parts' mean add up, and the last part makes the step.
  double LearnPart(const torch::Tensor& real, const Levels& fake, const SampleRange& samples) {
    return Learn(real, fake, samples, /*condition=*/{}, config_.accumulate);
  }

  // The loss of the generator that made `fake`, scalar, times gan.weight; the discriminator itself
  // gets no gradient. gan.feature_matching_weight adds the distance to the features of `real`.
  // `samples` key its draws.
  torch::Tensor GeneratorLoss(const torch::Tensor& fake, const torch::Tensor& real,
                              const SampleRange& samples, const torch::Tensor& condition = {}) {
    return GeneratorLoss(Levels{fake}, real, samples, condition);
  }
  torch::Tensor GeneratorLoss(const Levels& fake, const torch::Tensor& real,
                              const SampleRange& samples, const torch::Tensor& condition = {});

  // What resampling asks for: the mean logit of each real picture that Learn has seen since this
  // was last called, in that order, [N]; undefined when config.resample is off.
  torch::Tensor TakeRealScores();

  // The judgement of pictures, in the precision of the job, differentiable with respect to them
  // only.
  nn::Discriminator::Judgement Look(const torch::Tensor& pictures,
                                    const torch::Tensor& condition = {});

  void SetRateShare(double share) { learner_.SetRateShare(share); }
  std::vector<NamedNetwork> Networks() override { return {{name_, network_.get(), true}}; }
  bool TakeSkipped() override { return learner_.TakeSkipped(); }
  // The pool and the probability of augment.adaptive become those of the whole batch.
  void Join(ranks::RankGroup& group) override;
  void Save(models::TensorMap& state) const override;
  absl::Status Load(const models::TensorMap& state) override;

 private:
  double Learn(const torch::Tensor& real, const Levels& fake, const SampleRange& samples,
               const torch::Tensor& condition, int parts);
  // What the pool shows of generated pictures.
  torch::Tensor Exchange(const torch::Tensor& pictures, const SampleRange& samples);
  // What augment.differentiable does to pictures before they are judged; `role` tells the real ones
  // from the others.
  torch::Tensor Augment(const torch::Tensor& pictures, const SampleRange& samples,
                        std::int64_t role) const;
  nn::Discriminator::Judgement LookAtLevels(const Levels& fake, const torch::Tensor& condition);
  // One level is judged as a picture, several by a multi-scale discriminator, each by its own
  // scale.
  nn::Discriminator::Judgement JudgeLevels(const Levels& fake, const torch::Tensor& condition);
  torch::Tensor Penalties(const torch::Tensor& real, const torch::Tensor& fake,
                          const SampleRange& samples, const torch::Tensor& condition) const;

  const std::string name_;
  const std::int64_t index_;
  const TrainConfig config_;
  const std::shared_ptr<nn::Discriminator> network_;
  const Judge judge_;
  Learner learner_;
  LossScaler scaler_;
  ImagePool pool_;
  AdaptiveProbability probability_;
  std::vector<torch::Tensor> real_scores_;
  ranks::RankGroup* group_ = nullptr;  // null: alone
  int parts_seen_ = 0;                 // of the present batch; 0 between two steps
};

}  // namespace atelier::train
