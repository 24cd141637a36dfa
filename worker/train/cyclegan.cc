#include "worker/train/cyclegan.h"

#include <torch/torch.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/train/adversary.h"
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
               std::shared_ptr<nn::Generator> mean)
      : PictureStep(config, std::move(to_style.generator), std::move(mean), "generator_a"),
        to_content_(std::move(to_content.generator)),
        to_content_learner_("generator_b", to_content_, GeneratorOptions(config)),
        style_adversary_("discriminator_a", 0, config, to_style.discriminator),
        content_adversary_("discriminator_b", 1, config, to_content.discriminator) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;

  // And the results turned back.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    std::vector<torch::Tensor> rows = PictureStep::Sample(pictures);
    rows.push_back(Restyle(*to_content_, rows.back(), config_.precision));
    return rows;
  }

 private:
  struct Made {
    std::vector<torch::Tensor> style;    // G(a), a part of the batch each
    std::vector<torch::Tensor> content;  // F(b)
  };

  std::vector<Saved*> parts() override {
    return {&learner_, &to_content_learner_, &style_adversary_, &content_adversary_, &average_};
  }
  // G and F.
  torch::Tensor ToStyle(const torch::Tensor& content) const {
    return Forward(*generator_, content, config_.precision);
  }
  torch::Tensor ToContent(const torch::Tensor& style) const {
    return Forward(*to_content_, style, config_.precision);
  }
  Losses GeneratorLosses(const Batch& part, std::int64_t draw, Made& made);

  const std::shared_ptr<nn::Generator> to_content_;
  Learner to_content_learner_;
  Adversary style_adversary_;    // tells style pictures from G's
  Adversary content_adversary_;  // tells content pictures from F's
};

Losses CycleganStep::GeneratorLosses(const Batch& part, std::int64_t draw, Made& made) {
  const torch::Tensor& a = part.content;
  const torch::Tensor& b = part.target;
  const double cycle = config_.cyclegan.cycle_weight;
  const double identity = cycle * config_.cyclegan.identity_weight;
  const torch::Tensor style = ToStyle(a);
  const torch::Tensor content = ToContent(b);
  made.style.push_back(style.detach());
  made.content.push_back(content.detach());
  Losses losses = {{"cycle_a", cycle * AbsoluteDistance(ToContent(style), a)},
                   {"cycle_b", cycle * AbsoluteDistance(ToStyle(content), b)},
                   {"adversarial_b", style_adversary_.GeneratorLoss(style, b, draw)},
                   {"adversarial_a", content_adversary_.GeneratorLoss(content, a, draw)}};
  if (identity > 0) {
    losses["identity_b"] = identity * AbsoluteDistance(ToStyle(b), b);
    losses["identity_a"] = identity * AbsoluteDistance(ToContent(a), a);
  }
  return losses;
}

std::map<std::string, double> CycleganStep::Run(const Batch& batch, std::int64_t step) {
  const double rate = Rate(step);
  for (Learner* learner : {&learner_, &to_content_learner_}) {
    learner->SetRateShare(rate);
    learner->ZeroGradients();
  }
  Made made;
  std::map<std::string, double> values = AccumulateGradients(config_.accumulate, [&](int i) {
    return GeneratorLosses(PartOf(batch, i), step * config_.accumulate + i, made);
  });
  learner_.Step();
  to_content_learner_.Step();
  average_.Update(step);

  style_adversary_.SetRateShare(rate);
  content_adversary_.SetRateShare(rate);
  values["discriminator_a"] = style_adversary_.Learn(batch.target, torch::cat(made.style), step);
  values["discriminator_b"] =
      content_adversary_.Learn(batch.content, torch::cat(made.content), step);
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
  return std::make_unique<CycleganStep>(config, std::move(directions[0]), std::move(directions[1]),
                                        std::move(mean));
}

}  // namespace atelier::train
