#include "worker/train/pix2pix.h"

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

class Pix2pixStep final : public PictureStep {
 public:
  Pix2pixStep(const TrainConfig& config, std::shared_ptr<nn::Generator> generator,
              std::shared_ptr<nn::Generator> mean,
              const std::shared_ptr<nn::Discriminator>& discriminator, ExtraLosses extra)
      : PictureStep(config, std::move(generator), std::move(mean)),
        adversary_("discriminator", 0, config, discriminator),
        extra_(std::move(extra)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  RealScores TakeRealScores() override {
    return {.content = adversary_.TakeRealScores(), .target = {}};
  }

 private:
  std::vector<Saved*> other_parts() override { return {&adversary_}; }
  Losses PartLosses(const Batch& part, double* discriminator_loss);

  Adversary adversary_;
  const ExtraLosses extra_;
};

Losses Pix2pixStep::PartLosses(const Batch& part, double* discriminator_loss) {
  generator_->SetDropoutRandom(DropoutRandoms(config_, part.samples()));
  const torch::Tensor made = Forward(*generator_, part.content, config_.precision);
  const torch::Tensor real_pair = torch::cat({part.content, part.target}, 1);
  const torch::Tensor made_pair = torch::cat({part.content, made}, 1);
  *discriminator_loss += adversary_.LearnPart(real_pair, {made_pair}, part.samples());
  Losses losses = {{"adversarial", adversary_.GeneratorLoss(made_pair, real_pair, part.samples())},
                   {"l1", config_.pix2pix.l1_weight * AbsoluteDistance(made, part.target)}};
  extra_.Add(made, part.target, /*style=*/{}, *generator_, "", losses);
  return losses;
}

std::map<std::string, double> Pix2pixStep::Run(const Batch& batch, std::int64_t step) {
  adversary_.SetRateShare(Rate(step));
  double discriminator_loss = 0;
  std::map<std::string, double> values = StepParts(
      batch, step, [&](const Batch& part) { return PartLosses(part, &discriminator_loss); });
  values["discriminator"] = discriminator_loss / config_.accumulate;
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakePix2pixStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  ATELIER_ASSIGN_OR_RETURN(
      auto generator, MakePictureGenerator(config, MakeRandom(random.Next()), /*dropout=*/true));
  ATELIER_ASSIGN_OR_RETURN(auto mean, MakePictureMean(config));
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakeDiscriminator(config.gan, /*in_channels=*/6, inputs.feature_weights,
                                             MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(inputs));
  return std::make_unique<Pix2pixStep>(config, std::move(generator), std::move(mean), discriminator,
                                       std::move(extra));
}

}  // namespace atelier::train
