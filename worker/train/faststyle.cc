#include "worker/train/faststyle.h"

#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/train/extra_losses.h"
#include "worker/train/gradients.h"
#include "worker/train/painting_losses.h"
#include "worker/train/picture_generator.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

class FaststyleStep final : public PictureStep {
 public:
  FaststyleStep(const TrainConfig& config, std::shared_ptr<nn::Generator> generator,
                std::shared_ptr<nn::Generator> mean,
                const std::shared_ptr<nn::Discriminator>& discriminator, PaintingInputs paintings,
                ExtraLosses extra)
      : PictureStep(config, std::move(generator), std::move(mean)),
        losses_(config, discriminator, std::move(paintings.network), std::move(paintings.style)),
        extra_(std::move(extra)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;

 private:
  std::vector<Saved*> other_parts() override { return {&losses_.saved()}; }

  PaintingLosses losses_;
  const ExtraLosses extra_;
};

std::map<std::string, double> FaststyleStep::Run(const Batch& batch, std::int64_t step) {
  // The discriminator keeps its rate to the end.
  double discriminator_loss = 0;
  std::map<std::string, double> values = StepParts(batch, step, [&](const Batch& part) {
    const std::vector<Aim> whole_set(static_cast<std::size_t>(part.content.size(0)));
    const torch::Tensor result = Forward(*generator_, part.content, config_.precision);
    Losses losses =
        losses_.Of(result, part.content, whole_set, part.samples(), &discriminator_loss);
    extra_.Add(result, part.content, /*style=*/{}, *generator_, "", losses);
    return losses;
  });
  values["discriminator"] = discriminator_loss;
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeFaststyleStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  ATELIER_ASSIGN_OR_RETURN(auto generator, MakePictureGenerator(config, MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(auto mean, MakePictureMean(config));
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakeDiscriminator(config.gan, /*in_channels=*/3, inputs.feature_weights,
                                             MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(PaintingInputs paintings, ReadPaintings(inputs));
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(inputs));
  return std::make_unique<FaststyleStep>(config, std::move(generator), std::move(mean),
                                         discriminator, std::move(paintings), std::move(extra));
}

}  // namespace atelier::train
