#include "worker/train/cyclegan.h"

#include <torch/torch.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/train/adversary.h"
#include "worker/train/extra_losses.h"
#include "worker/train/gradients.h"
#include "worker/train/image_losses.h"
#include "worker/train/picture_generator.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

// One direction: a generator and the adversary that judges what it makes.
struct Direction {
  std::shared_ptr<nn::Generator> generator;
  std::shared_ptr<nn::Discriminator> discriminator;
};

class CycleganStep final : public PictureStep {
 public:
  CycleganStep(const TrainConfig& config, Direction to_style, Direction to_content,
               std::shared_ptr<nn::Generator> mean, ExtraLosses extra)
      : PictureStep(config, std::move(to_style.generator), std::move(mean), "generator_a"),
        to_content_(std::move(to_content.generator)),
        to_content_learner_("generator_b", to_content_, GeneratorOptions(config)),
        style_adversary_("discriminator_a", 0, config, to_style.discriminator),
        content_adversary_("discriminator_b", 1, config, to_content.discriminator),
        extra_(std::move(extra)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;

  RealScores TakeRealScores() override {
    return {content_adversary_.TakeRealScores(), style_adversary_.TakeRealScores()};
  }

  // And the results turned back.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    std::vector<torch::Tensor> rows = PictureStep::Sample(pictures);
    rows.push_back(Restyle(*to_content_, rows.back(), config_.precision));
    return rows;
  }

 private:
  struct Made {
    std::vector<Levels> style;    // G(a), a part of the batch each
    std::vector<Levels> content;  // F(b)
  };

  std::vector<Saved*> other_parts() override {
    return {&to_content_learner_, &style_adversary_, &content_adversary_};
  }
  // G and F.
  torch::Tensor ToStyle(const torch::Tensor& content) const {
    return Forward(*generator_, content, config_.precision);
  }
  torch::Tensor ToContent(const torch::Tensor& style) const {
    return Forward(*to_content_, style, config_.precision);
  }
  Losses GeneratorLosses(const Batch& part, Made& made);
  void AddExtra(const Batch& part, const torch::Tensor& style, const torch::Tensor& content,
                Losses& losses) const;

  const std::shared_ptr<nn::Generator> to_content_;
  Learner to_content_learner_;
  Adversary style_adversary_;    // tells style pictures from G's
  Adversary content_adversary_;  // tells content pictures from F's
  const ExtraLosses extra_;
};

// Without gradients, a level at a time.
Levels Detached(const Levels& levels) {
  Levels detached;
  for (const torch::Tensor& level : levels) {
    detached.push_back(level.detach());
  }
  return detached;
}

// The parts of a batch as one.
Levels Joined(const std::vector<Levels>& parts) {
  Levels joined;
  for (std::size_t level = 0; level < parts.front().size(); ++level) {
    std::vector<torch::Tensor> of_level;
    for (const Levels& part : parts) {
      of_level.push_back(part[level]);
    }
    joined.push_back(torch::cat(of_level));
  }
  return joined;
}

// Both directions alike.
void CycleganStep::AddExtra(const Batch& part, const torch::Tensor& style,
                            const torch::Tensor& content, Losses& losses) const {
  extra_.Add(style, part.content, part.target, *generator_, "_b", losses);
  extra_.Add(content, part.target, part.content, *to_content_, "_a", losses);
}

Losses CycleganStep::GeneratorLosses(const Batch& part, Made& made) {
  const torch::Tensor& a = part.content;
  const torch::Tensor& b = part.target;
  const double cycle = config_.cyclegan.cycle_weight;
  const double identity = cycle * config_.cyclegan.identity_weight;
  const Levels style_levels = ForwardLevels(*generator_, a, config_);
  const Levels content_levels = ForwardLevels(*to_content_, b, config_);
  const torch::Tensor& style = style_levels.front();
  const torch::Tensor& content = content_levels.front();
  made.style.push_back(Detached(style_levels));
  made.content.push_back(Detached(content_levels));
  Losses losses = {
      {"cycle_a", cycle * AbsoluteDistance(ToContent(style), a)},
      {"cycle_b", cycle * AbsoluteDistance(ToStyle(content), b)},
      {"adversarial_b", style_adversary_.GeneratorLoss(style_levels, b, part.samples())},
      {"adversarial_a", content_adversary_.GeneratorLoss(content_levels, a, part.samples())}};
  if (identity > 0) {
    losses["identity_b"] = identity * AbsoluteDistance(ToStyle(b), b);
    losses["identity_a"] = identity * AbsoluteDistance(ToContent(a), a);
  }
  AddExtra(part, style, content, losses);
  return losses;
}

std::map<std::string, double> CycleganStep::Run(const Batch& batch, std::int64_t step) {
  Made made;
  std::map<std::string, double> values =
      StepParts(batch, step, [&](const Batch& part) { return GeneratorLosses(part, made); },
                {&to_content_learner_});

  style_adversary_.SetRateShare(Rate(step));
  content_adversary_.SetRateShare(Rate(step));
  values["discriminator_a"] =
      style_adversary_.Learn(batch.target, Joined(made.style), batch.samples());
  values["discriminator_b"] =
      content_adversary_.Learn(batch.content, Joined(made.content), batch.samples());
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
  ATELIER_ASSIGN_OR_RETURN(auto mean, MakePictureMean(config));
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(inputs));
  return std::make_unique<CycleganStep>(config, std::move(directions[0]), std::move(directions[1]),
                                        std::move(mean), std::move(extra));
}

}  // namespace atelier::train
