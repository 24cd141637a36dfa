#include "worker/train/cyclegan.h"

#include <torch/torch.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/averaging.h"
#include "worker/train/losses.h"
#include "worker/train/picture_generator.h"
#include "worker/train/random.h"
#include "worker/train/schedule.h"

namespace atelier::train {
namespace {

// One direction: a generator and the adversary that judges what it makes.
struct Direction {
  std::shared_ptr<nn::Generator> generator;
  std::shared_ptr<nn::Discriminator> discriminator;
};

class CycleganStep final : public TrainStep {
 public:
  CycleganStep(const TrainConfig& config, Direction to_style, Direction to_content,
               std::shared_ptr<nn::Generator> average)
      : config_(config),
        to_style_(std::move(to_style.generator)),
        to_content_(std::move(to_content.generator)),
        to_style_learner_("generator_a", to_style_, GeneratorOptions(config)),
        to_content_learner_("generator_b", to_content_, GeneratorOptions(config)),
        style_adversary_("discriminator_a", 0, config, to_style.discriminator),
        content_adversary_("discriminator_b", 1, config, to_content.discriminator),
        average_(std::move(average), to_style_, config.ema_decay) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;

  double learning_rate() const override { return to_style_learner_.learning_rate(); }
  torch::nn::Module& result() override { return average_.result(); }
  std::vector<torch::nn::Module*> generators() override {
    return {to_style_.get(), &average_.result()};
  }
  void Describe(ModelSpec& spec) const override { DescribePictureGenerator(config_, spec); }

  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    const torch::Tensor styled = Restyle(average_.result(), pictures, config_.precision);
    return {pictures, styled, Restyle(*to_content_, styled, config_.precision)};
  }

  TensorMap State() override {
    TensorMap state;
    to_style_learner_.Save(state);
    to_content_learner_.Save(state);
    style_adversary_.Save(state);
    content_adversary_.Save(state);
    average_.Save(state);
    return state;
  }

  absl::Status LoadState(const TensorMap& state) override {
    ATELIER_RETURN_IF_ERROR(to_style_learner_.Load(state));
    ATELIER_RETURN_IF_ERROR(to_content_learner_.Load(state));
    ATELIER_RETURN_IF_ERROR(style_adversary_.Load(state));
    ATELIER_RETURN_IF_ERROR(content_adversary_.Load(state));
    return average_.Load(state);
  }

 private:
  struct Made {
    torch::Tensor style;    // G(a)
    torch::Tensor content;  // F(b)
  };

  torch::Tensor Forward(nn::Generator& generator, const torch::Tensor& pictures) const {
    const Autocast autocast(config_.precision);
    return generator.forward(pictures).to(torch::kFloat);
  }
  Losses GeneratorLosses(const torch::Tensor& content, const torch::Tensor& style,
                         std::int64_t draw, Made& made);

  const TrainConfig config_;
  const std::shared_ptr<nn::Generator> to_style_;
  const std::shared_ptr<nn::Generator> to_content_;
  Learner to_style_learner_;
  Learner to_content_learner_;
  Adversary style_adversary_;    // tells style pictures from G's
  Adversary content_adversary_;  // tells content pictures from F's
  Average<nn::Generator> average_;
};

Losses CycleganStep::GeneratorLosses(const torch::Tensor& content, const torch::Tensor& style,
                                     std::int64_t draw, Made& made) {
  const double cycle = config_.cyclegan.cycle_weight;
  const double identity = cycle * config_.cyclegan.identity_weight;
  made.style = Forward(*to_style_, content);
  made.content = Forward(*to_content_, style);
  Losses losses = {
      {"cycle_a", cycle * torch::l1_loss(Forward(*to_content_, made.style), content)},
      {"cycle_b", cycle * torch::l1_loss(Forward(*to_style_, made.content), style)},
      {"adversarial_b", style_adversary_.GeneratorLoss(made.style, style, draw)},
      {"adversarial_a", content_adversary_.GeneratorLoss(made.content, content, draw)}};
  if (identity > 0) {
    losses["identity_b"] = identity * torch::l1_loss(Forward(*to_style_, style), style);
    losses["identity_a"] = identity * torch::l1_loss(Forward(*to_content_, content), content);
  }
  return losses;
}

std::map<std::string, double> CycleganStep::Run(const Batch& batch, std::int64_t step) {
  const double rate = RateShare(config_.schedule, step, config_.steps);
  for (Learner* learner : {&to_style_learner_, &to_content_learner_}) {
    learner->SetRateShare(rate);
    learner->ZeroGradients();
  }
  std::map<std::string, double> values;
  std::vector<Made> made(static_cast<std::size_t>(config_.accumulate));
  const double share = 1.0 / config_.accumulate;
  for (std::int64_t i = 0; i < config_.accumulate; ++i) {
    const Batch part = Narrow(batch, i * config_.batch_size, config_.batch_size);
    const Losses losses = GeneratorLosses(part.content, part.target, step * config_.accumulate + i,
                                          made[static_cast<std::size_t>(i)]);
    (Sum(losses) * share).backward();
    AddValues(losses, share, values);
  }
  to_style_learner_.Step();
  to_content_learner_.Step();
  average_.Update(step);

  style_adversary_.SetRateShare(rate);
  content_adversary_.SetRateShare(rate);
  std::vector<torch::Tensor> styles;
  std::vector<torch::Tensor> contents;
  for (const Made& part : made) {
    styles.push_back(part.style.detach());
    contents.push_back(part.content.detach());
  }
  values["discriminator_a"] = style_adversary_.Learn(batch.target, torch::cat(styles), step);
  values["discriminator_b"] = content_adversary_.Learn(batch.content, torch::cat(contents), step);
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeCycleganStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  std::vector<Direction> directions(2);
  for (Direction& direction : directions) {
    ATELIER_ASSIGN_OR_RETURN(direction.generator,
                             MakePictureGenerator(config, MakeRandom(random.Next())));
    ATELIER_ASSIGN_OR_RETURN(direction.discriminator,
                             MakeDiscriminator(config.gan, /*in_channels=*/3,
                                               inputs.feature_weights, MakeRandom(random.Next())));
  }
  ATELIER_ASSIGN_OR_RETURN(auto average, MakePictureGenerator(config, MakeRandom(0)));
  return std::make_unique<CycleganStep>(config, std::move(directions[0]), std::move(directions[1]),
                                        std::move(average));
}

}  // namespace atelier::train
