#include "worker/train/reference.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/kernels/pixels.h"
#include "worker/nn/reference_generator.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/extra_losses.h"
#include "worker/train/generator_step.h"
#include "worker/train/gradients.h"
#include "worker/train/image_losses.h"
#include "worker/train/losses.h"
#include "worker/train/painting_losses.h"
#include "worker/train/random.h"
#include "worker/train/samples.h"

namespace atelier::train {
namespace {

class ReferenceStep final : public GeneratorStep<nn::ReferenceGenerator> {
 public:
  // sample_styles: the style pictures of the sample grid.
  ReferenceStep(const TrainConfig& config, std::shared_ptr<nn::ReferenceGenerator> generator,
                std::shared_ptr<nn::ReferenceGenerator> mean,
                const std::shared_ptr<nn::Discriminator>& discriminator,
                std::shared_ptr<nn::EfficientNetLite> network, torch::Tensor sample_styles,
                ExtraLosses extra)
      : GeneratorStep(config, std::move(generator), std::move(mean)),
        adversary_("discriminator", 0, config, discriminator),
        network_(std::move(network)),
        sample_styles_(std::move(sample_styles)),
        extra_(std::move(extra)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  void Describe(ModelSpec& spec) const override;
  // It sees pictures of the style set only.
  RealScores TakeRealScores() override {
    return {.content = {}, .target = adversary_.TakeRealScores()};
  }
  // The pictures over their results over the pictures whose style they got.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override;

 private:
  std::vector<Saved*> other_parts() override { return {&adversary_}; }
  torch::Tensor Make(nn::ReferenceGenerator& generator, const torch::Tensor& pictures,
                     const torch::Tensor& styles) const {
    const Autocast autocast(config_.precision, pictures.device());
    return generator.forward(pictures, generator.Style(styles)).to(torch::kFloat);
  }
  std::vector<torch::Tensor> Features(const torch::Tensor& pictures) const {
    const Autocast autocast(config_.precision, pictures.device());
    return network_->Features(pictures);
  }
  Losses PartLosses(const Batch& part, double* discriminator_loss);

  Adversary adversary_;
  const std::shared_ptr<nn::EfficientNetLite> network_;
  const torch::Tensor sample_styles_;
  const ExtraLosses extra_;
};

Losses ReferenceStep::PartLosses(const Batch& part, double* discriminator_loss) {
  const torch::Tensor result = Make(*generator_, part.content, part.target);
  std::vector<torch::Tensor> photo_features;
  std::vector<torch::Tensor> style_features;
  {
    const torch::NoGradGuard no_grad;
    photo_features = Features(part.content);
    style_features = Features(part.target);
  }
  const std::vector<torch::Tensor> features = Features(result);
  *discriminator_loss += adversary_.LearnPart(part.target, {result}, part.samples());
  const ReferenceConfig& weight = config_.reference;
  Losses losses = {{"style", weight.style_weight * StatisticsDistance(features, style_features)},
                   {"content", weight.content_weight * ContentDistance(features, photo_features)},
                   {"total_variation", weight.total_variation_weight * TotalVariation(result)},
                   {"adversarial", adversary_.GeneratorLoss(result, part.target, part.samples())}};
  extra_.Add(result, part.content, part.target, *generator_, "", losses);
  return losses;
}

std::map<std::string, double> ReferenceStep::Run(const Batch& batch, std::int64_t step) {
  adversary_.SetRateShare(Rate(step));
  double discriminator_loss = 0;
  std::map<std::string, double> values = StepParts(
      batch, step, [&](const Batch& part) { return PartLosses(part, &discriminator_loss); });
  values["discriminator"] = discriminator_loss / config_.accumulate;
  return values;
}

void ReferenceStep::Describe(ModelSpec& spec) const {
  spec.tier = config_.tier;
  spec.architecture.generator = "reference";
  spec.architecture.image_size = config_.image_size;
  spec.capabilities.emplace_back("style_image");
}

std::vector<torch::Tensor> ReferenceStep::Sample(const torch::Tensor& pictures) {
  std::vector<torch::Tensor> styles;
  for (std::int64_t i = 0; i < pictures.size(0); ++i) {
    styles.push_back(sample_styles_.narrow(0, i % sample_styles_.size(0), 1));
  }
  const torch::Tensor each = torch::cat(styles);
  return {pictures, Make(average_.result(), pictures, each), each};
}

absl::StatusOr<torch::Tensor> SampleStyles(const TrainConfig& config, const ImageFolder& style) {
  std::vector<torch::Tensor> styles;
  for (std::int64_t i = 0; i < std::min(style.size(), kSampleStyles); ++i) {
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor picture, style.Load(i));
    styles.push_back(CentreCrop(picture, config.image_size));
  }
  return kernels::PixelsToTensor(torch::stack(styles));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeReferenceStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  const auto generator =
      std::make_shared<nn::ReferenceGenerator>(nn::ReferenceGenerator::Options{});
  generator->InitializeWeights(MakeRandom(random.Next()));
  const auto mean =
      config.ema_decay > 0
          ? std::make_shared<nn::ReferenceGenerator>(nn::ReferenceGenerator::Options{})
          : nullptr;
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakeDiscriminator(config.gan, /*in_channels=*/3, inputs.feature_weights,
                                             MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(auto network, inputs.LoadFeatureNetwork());
  ATELIER_ASSIGN_OR_RETURN(const torch::Tensor styles, SampleStyles(config, *inputs.style));
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(inputs));
  return std::make_unique<ReferenceStep>(config, generator, mean, discriminator, std::move(network),
                                         styles.to(inputs.device), std::move(extra));
}

}  // namespace atelier::train
