#include "worker/train/adversary.h"

#include <torch/torch.h>

#include <utility>
#include <vector>

#include "common/check.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/models/feature_network.h"
#include "worker/models/generator_table.h"
#include "worker/nn/multi_scale_discriminator.h"
#include "worker/nn/patch_discriminator.h"
#include "worker/nn/pixel_discriminator.h"
#include "worker/nn/projected_discriminator.h"
#include "worker/train/adversarial_loss.h"
#include "worker/train/autocast.h"
#include "worker/train/image_losses.h"
#include "worker/train/random.h"
#include "worker/train/whole_batch.h"

namespace atelier::train {
namespace {

using Judgement = nn::Discriminator::Judgement;

// What pictures are augmented for.
enum Role : std::int64_t { kReal = 0, kFake = 1, kOfGenerator = 2, kRoles = 3 };

constexpr std::int64_t kIndices = 1000;  // more than any step has adversaries

LearnerOptions OptionsOf(const TrainConfig& config) {
  const GanConfig& gan = config.gan;
  return {.learning_rate = gan.learning_rate > 0 ? gan.learning_rate : config.learning_rate,
          .beta1 = gan.adam_beta1 < 0 ? config.adam_beta1 : gan.adam_beta1,
          .beta2 = gan.adam_beta2 < 0 ? config.adam_beta2 : gan.adam_beta2};
}

absl::StatusOr<std::shared_ptr<nn::Discriminator>> Build(
    const GanConfig& config, int in_channels, const std::filesystem::path& feature_weights) {
  ATELIER_ASSIGN_OR_RETURN(const nn::NormKind norm, models::NormKindOf(config.norm));
  const nn::PatchDiscriminator::Options patch = {.in_channels = in_channels,
                                                 .ndf = config.channels,
                                                 .norm = norm,
                                                 .spectral_norm = config.spectral_norm,
                                                 .antialias = config.antialias};
  switch (config.discriminator) {
    case DiscriminatorKind::kPixel:
      return std::make_shared<nn::PixelDiscriminator>(
          nn::PixelDiscriminator::Options{.in_channels = in_channels,
                                          .ndf = config.channels,
                                          .norm = norm,
                                          .spectral_norm = config.spectral_norm});
    case DiscriminatorKind::kMultiScale:
      return std::make_shared<nn::MultiScaleDiscriminator>(
          nn::MultiScaleDiscriminator::Options{.scales = config.scales, .patch = patch});
    case DiscriminatorKind::kProjected: {
      ATELIER_ASSIGN_OR_RETURN(auto network, models::LoadEfficientNetLite(0, feature_weights));
      return std::make_shared<nn::ProjectedDiscriminator>(
          nn::ProjectedDiscriminator::Options{.channels = config.channels}, std::move(network));
    }
    case DiscriminatorKind::kPatch:
      break;
  }
  return std::make_shared<nn::PatchDiscriminator>(patch);
}

// What the losses compute on is fp32, whatever the networks computed in.
Judgement Wide(Judgement judgement) {
  for (torch::Tensor& logits : judgement.logits) {
    logits = logits.to(torch::kFloat);
  }
  return judgement;
}

// Least squares are halved in their own definition.
double LossShare(const GanConfig& config) {
  return config.halved && config.loss != GanLoss::kLeastSquares ? 0.5 : 1.0;
}

// The mean over a picture's map, then over the scales, [N].
torch::Tensor MeanLogits(const std::vector<torch::Tensor>& logits) {
  std::vector<torch::Tensor> means;
  means.reserve(logits.size());
  for (const torch::Tensor& map : logits) {
    means.push_back(map.detach().flatten(1).mean(1));
  }
  return torch::stack(means).mean(0);
}

}  // namespace

absl::StatusOr<std::shared_ptr<nn::Discriminator>> MakeDiscriminator(
    const GanConfig& config, int in_channels, const std::filesystem::path& feature_weights,
    const at::Generator& random) {
  ATELIER_ASSIGN_OR_RETURN(auto network, Build(config, in_channels, feature_weights));
  network->InitializeWeights(random);
  ATELIER_RETURN_IF_ERROR(FreezeLayers(*network, config.freeze_layers));
  return network;
}

absl::Status FreezeLayers(nn::Discriminator& network, int count) {
  const auto layers = static_cast<int>(network.Layers().size());
  if (count >= layers) {
    return InvalidField("train.gan.freeze_layers",
                        "must be below " + std::to_string(layers) +
                            ", the number of layers that this discriminator has");
  }
  network.FreezeLayers(count);
  return absl::OkStatus();
}

Adversary::Adversary(std::string name, std::int64_t index, const TrainConfig& config,
                     std::shared_ptr<nn::Discriminator> network, Judge judge)
    : name_(std::move(name)),
      index_(index),
      config_(config),
      network_(std::move(network)),
      judge_(std::move(judge)),
      learner_(name_, network_, OptionsOf(config)),
      scaler_(name_, ScalerOptions(config)),
      pool_(config.gan.pool_size) {}

Adversary::Adversary(std::string name, std::int64_t index, const TrainConfig& config,
                     const std::shared_ptr<nn::Discriminator>& network)
    : Adversary(std::move(name), index, config, network,
                [network](const torch::Tensor& pictures, const torch::Tensor&) {
                  return network->Judge(pictures);
                }) {}

double Adversary::Learn(const torch::Tensor& real, const Levels& fake, const SampleRange& samples,
                        const torch::Tensor& condition, int parts) {
  if (config_.augment.adaptive && parts_seen_ == 0) {
    probability_.StartStep();
  }
  const torch::Tensor real_seen = Augment(real, samples, kReal);
  Levels fake_seen;
  for (const torch::Tensor& level : fake) {
    fake_seen.push_back(level.detach());
  }
  if (fake.size() == 1) {
    fake_seen.front() = Augment(Exchange(fake_seen.front(), samples), samples, kFake);
  }
  Judgement of_real;
  Judgement of_fake;
  {
    const Autocast autocast(config_.precision, real.device());
    of_real = Wide(judge_(real_seen, condition));
    of_fake = Wide(JudgeLevels(fake_seen, condition));
  }
  if (config_.resample.on()) {
    real_scores_.push_back(MeanLogits(of_real.logits));
  }
  if (config_.augment.adaptive) {
    probability_.Observe(of_real.logits, group_);
  }
  torch::Tensor loss =
      LossShare(config_.gan) * DiscriminatorLoss(config_.gan.loss, of_real.logits, of_fake.logits) +
      Penalties(real_seen, fake_seen.front(), samples, condition);
  if (parts_seen_ == 0) {
    learner_.ZeroGradients();
  }
  if (parts_seen_ + 1 == parts) {
    learner_.ExpectLastBackward();
  }
  scaler_.Scale(loss / parts).backward();
  if (++parts_seen_ < parts) {
    return loss.item<double>();
  }
  parts_seen_ = 0;
  const bool stepped = learner_.Step(scaler_.scale());
  scaler_.Report(stepped);
  if (stepped && config_.gan.clip_weights > 0) {
    ClipWeights(*network_, config_.gan.clip_weights);
  }
  return loss.item<double>();
}

torch::Tensor Adversary::Exchange(const torch::Tensor& pictures, const SampleRange& samples) {
  const auto exchange = [this](const torch::Tensor& fresh, const SampleRange& of) {
    return pool_.Exchange(fresh,
                          KeyedRandoms(config_.seed, of, fresh.size(0), index_, Purpose::kPool));
  };
  if (group_ == nullptr || config_.gan.pool_size == 0) {
    return exchange(pictures, samples);
  }
  // Every rank keeps the whole pool: which picture is taken out depends on all that came before.
  return PartOfWhole(
      *group_, samples,
      exchange(GatherWhole(*group_, samples, pictures), WholeSamples(samples, group_->rank())));
}

void Adversary::Join(ranks::RankGroup& group) {
  learner_.Join(group);
  group_ = &group;
}

torch::Tensor Adversary::TakeRealScores() {
  const std::vector<torch::Tensor> scores = std::exchange(real_scores_, {});
  return scores.empty() ? torch::Tensor() : torch::cat(scores);
}

Judgement Adversary::JudgeLevels(const Levels& fake, const torch::Tensor& condition) {
  if (fake.size() == 1) {
    return judge_(fake.front(), condition);
  }
  auto* const scales = dynamic_cast<nn::MultiScaleDiscriminator*>(network_.get());
  ATELIER_CHECK(scales != nullptr && std::cmp_less_equal(config_.gan.scales, fake.size()));
  return scales->JudgePyramid({fake.begin(), fake.begin() + config_.gan.scales});
}

torch::Tensor Adversary::Augment(const torch::Tensor& pictures, const SampleRange& samples,
                                 std::int64_t role) const {
  if (!config_.augment.differentiable) {
    return pictures;
  }
  const double probability = config_.augment.adaptive ? probability_.probability() : 1.0;
  std::vector<DiffAugmentDraw> draws;
  for (const KeyedRandom& random : KeyedRandoms(config_.seed, samples, pictures.size(0),
                                                index_ * kRoles + role, Purpose::kDiffAugment)) {
    draws.push_back(DrawDiffAugment(pictures.size(2), pictures.size(3), probability, random));
  }
  return DiffAugment(pictures, draws);
}

// In fp32: gradients of gradients have too wide a range for bf16 and fp16.
torch::Tensor Adversary::Penalties(const torch::Tensor& real, const torch::Tensor& fake,
                                   const SampleRange& samples,
                                   const torch::Tensor& condition) const {
  const Critic critic = [&](const torch::Tensor& pictures) {
    return judge_(pictures, condition).logits;
  };
  torch::Tensor penalty = torch::zeros({});
  if (config_.gan.gradient_penalty_weight > 0) {
    std::vector<torch::Tensor> shares;
    for (std::int64_t i = 0; i < real.size(0) / samples.count; ++i) {
      shares.push_back(PenaltyShares(config_.seed, index_ + kIndices * i, samples));
    }
    penalty = penalty + config_.gan.gradient_penalty_weight *
                            GradientPenalty(critic, real, fake, torch::cat(shares));
  }
  if (config_.gan.r1_weight > 0) {
    penalty = penalty + config_.gan.r1_weight * R1Penalty(critic, real);
  }
  return penalty;
}

Judgement Adversary::Look(const torch::Tensor& pictures, const torch::Tensor& condition) {
  return LookAtLevels({pictures}, condition);
}

Judgement Adversary::LookAtLevels(const Levels& fake, const torch::Tensor& condition) {
  // The gradient passes through the discriminator without touching it.
  network_->WantGradients(false);
  Judgement judgement;
  {
    const Autocast autocast(config_.precision, fake.front().device());
    judgement = Wide(JudgeLevels(fake, condition));
  }
  network_->WantGradients(true);
  return judgement;
}

torch::Tensor Adversary::GeneratorLoss(const Levels& fake, const torch::Tensor& real,
                                       const SampleRange& samples, const torch::Tensor& condition) {
  Levels seen = fake;
  if (seen.size() == 1) {
    seen.front() = Augment(seen.front(), samples, kOfGenerator);
  }
  const Judgement of_fake = LookAtLevels(seen, condition);
  torch::Tensor loss = config_.gan.weight * train::GeneratorLoss(config_.gan.loss, of_fake.logits);
  if (config_.gan.feature_matching_weight > 0) {
    Judgement of_real;
    {
      const torch::NoGradGuard no_grad;
      of_real = Look(Augment(real, samples, kReal), condition);
    }
    loss = loss + config_.gan.feature_matching_weight *
                      FeatureMatching(of_fake.features, of_real.features);
  }
  return loss;
}

void Adversary::Save(models::TensorMap& state) const {
  learner_.Save(state);
  scaler_.Save(state);
  pool_.Save(name_, state);
  if (config_.augment.adaptive) {
    probability_.Save(name_, state);
  }
}

absl::Status Adversary::Load(const models::TensorMap& state) {
  ATELIER_RETURN_IF_ERROR(learner_.Load(state));
  ATELIER_RETURN_IF_ERROR(scaler_.Load(state));
  ATELIER_RETURN_IF_ERROR(pool_.Load(name_, state, DeviceOf(*network_)));
  return config_.augment.adaptive ? probability_.Load(name_, state) : absl::OkStatus();
}

}  // namespace atelier::train
