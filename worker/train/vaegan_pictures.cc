#include "worker/train/vaegan_pictures.h"

#include <torch/torch.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/nn/shared_latent_generator.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/extra_losses.h"
#include "worker/train/generator_step.h"
#include "worker/train/gradients.h"
#include "worker/train/image_losses.h"
#include "worker/train/keyed_noise.h"
#include "worker/train/picture_generator.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

using Domain = nn::SharedLatentGenerator::Domain;
using GeneratorPtr = std::shared_ptr<nn::SharedLatentGenerator>;

// The draws of noise for one sample, which is a picture of either set.
enum PicturesDraw : std::int64_t {
  kContentDraw = 0,
  kStyleDraw = 1,
  kMadeContentDraw = 2,
  kMadeStyleDraw = 3
};

struct Code {
  torch::Tensor mean;
  torch::Tensor noisy;
};

// Divided by the numbers of a code, so that it does not grow with the pictures.
torch::Tensor UnitDivergence(const torch::Tensor& mean) {
  return KlDivergence(mean, torch::zeros_like(mean)) / static_cast<double>(mean[0].numel());
}

class VaeganPicturesStep final : public GeneratorStep<nn::SharedLatentGenerator> {
 public:
  VaeganPicturesStep(const TrainConfig& config, Architecture architecture, GeneratorPtr generator,
                     GeneratorPtr mean, const std::shared_ptr<nn::Discriminator>& of_style,
                     const std::shared_ptr<nn::Discriminator>& of_content, ExtraLosses extra)
      : GeneratorStep(config, std::move(generator), std::move(mean)),
        architecture_(std::move(architecture)),
        style_adversary_("discriminator_a", 0, config, of_style),
        content_adversary_("discriminator_b", 1, config, of_content),
        extra_(std::move(extra)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  void Describe(ModelSpec& spec) const override {
    spec.tier = "";
    spec.architecture = architecture_;
  }
  torch::Tensor Results(const Batch& batch) override {
    return Restyle(average_.result(), batch.content, config_.precision);
  }
  RealScores TakeRealScores() override {
    return {content_adversary_.TakeRealScores(), style_adversary_.TakeRealScores()};
  }
  // The pictures over their results, the results turned back, and what the codes keep of the
  // pictures.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    const torch::Tensor results = Restyle(average_.result(), pictures, config_.precision);
    return {pictures, results, Translate(Domain::kTarget, Domain::kSource, results),
            Translate(Domain::kSource, Domain::kSource, pictures)};
  }

 private:
  std::vector<Saved*> other_parts() override { return {&style_adversary_, &content_adversary_}; }
  // Without noise, by the network that would be the result.
  torch::Tensor Translate(Domain from, Domain to, const torch::Tensor& pictures) {
    const Autocast autocast(config_.precision, pictures.device());
    nn::SharedLatentGenerator& network = average_.result();
    return network.Decode(to, network.Encode(from, pictures)).to(torch::kFloat);
  }
  Code Encode(Domain domain, const torch::Tensor& pictures, const SampleRange& samples,
              PicturesDraw draw);
  torch::Tensor Decode(Domain domain, const torch::Tensor& codes);
  // Of the pictures of a domain that came out of their own codes, in the adversary's features.
  torch::Tensor RebuiltFeatures(Adversary& adversary, const torch::Tensor& rebuilt,
                                const torch::Tensor& real);
  Losses PartLosses(const Batch& part, double* style_loss, double* content_loss);

  const Architecture architecture_;
  Adversary style_adversary_;    // tells style pictures from translations
  Adversary content_adversary_;  // and content pictures likewise
  const ExtraLosses extra_;
};

Code VaeganPicturesStep::Encode(Domain domain, const torch::Tensor& pictures,
                                const SampleRange& samples, PicturesDraw draw) {
  const Autocast autocast(config_.precision, pictures.device());
  const torch::Tensor mean = generator_->Encode(domain, pictures).to(torch::kFloat);
  return {mean, mean + KeyedNoise(config_.seed, samples, draw, mean.sizes(), mean.device())};
}

torch::Tensor VaeganPicturesStep::Decode(Domain domain, const torch::Tensor& codes) {
  const Autocast autocast(config_.precision, codes.device());
  return generator_->Decode(domain, codes).to(torch::kFloat);
}

torch::Tensor VaeganPicturesStep::RebuiltFeatures(Adversary& adversary,
                                                  const torch::Tensor& rebuilt,
                                                  const torch::Tensor& real) {
  return FeatureMatching(adversary.Look(rebuilt).features, adversary.Look(real).features);
}

Losses VaeganPicturesStep::PartLosses(const Batch& part, double* style_loss, double* content_loss) {
  const torch::Tensor& a = part.content;
  const torch::Tensor& b = part.target;
  const std::int64_t count = a.size(0);
  const VaeganConfig& weight = config_.vaegan;
  const Code of_a = Encode(Domain::kSource, a, part.samples(), kContentDraw);
  const Code of_b = Encode(Domain::kTarget, b, part.samples(), kStyleDraw);
  const torch::Tensor codes = torch::cat({of_a.noisy, of_b.noisy});
  const torch::Tensor as_a = Decode(Domain::kSource, codes);
  const torch::Tensor as_b = Decode(Domain::kTarget, codes);
  const torch::Tensor rebuilt_a = as_a.narrow(0, 0, count);
  const torch::Tensor rebuilt_b = as_b.narrow(0, count, count);
  const torch::Tensor made_a = as_a.narrow(0, count, count);
  const torch::Tensor made_b = as_b.narrow(0, 0, count);
  const Code of_made_a = Encode(Domain::kSource, made_a, part.samples(), kMadeContentDraw);
  const Code of_made_b = Encode(Domain::kTarget, made_b, part.samples(), kMadeStyleDraw);

  *style_loss += style_adversary_.LearnPart(b, {made_b}, part.samples());
  *content_loss += content_adversary_.LearnPart(a, {made_a}, part.samples());
  Losses losses = {
      {"reconstruction_a", weight.reconstruction_weight * AbsoluteDistance(rebuilt_a, a)},
      {"reconstruction_b", weight.reconstruction_weight * AbsoluteDistance(rebuilt_b, b)},
      {"kl", weight.kl_weight * (UnitDivergence(of_a.mean) + UnitDivergence(of_b.mean))},
      {"cycle_a",
       weight.cycle_weight * AbsoluteDistance(Decode(Domain::kSource, of_made_b.noisy), a)},
      {"cycle_b",
       weight.cycle_weight * AbsoluteDistance(Decode(Domain::kTarget, of_made_a.noisy), b)},
      {"cycle_kl",
       weight.cycle_kl_weight * (UnitDivergence(of_made_a.mean) + UnitDivergence(of_made_b.mean))},
      {"adversarial_a", content_adversary_.GeneratorLoss(made_a, a, part.samples())},
      {"adversarial_b", style_adversary_.GeneratorLoss(made_b, b, part.samples())}};
  if (weight.feature_matching_weight > 0) {
    losses["feature_matching"] =
        weight.feature_matching_weight * (RebuiltFeatures(content_adversary_, rebuilt_a, a) +
                                          RebuiltFeatures(style_adversary_, rebuilt_b, b));
  }
  if (weight.regularization_weight > 0) {
    losses["regularization"] = weight.regularization_weight * SquaredWeights(*generator_);
  }
  extra_.Add(made_b, a, b, *generator_, "_b", losses);
  extra_.Add(made_a, b, a, *generator_, "_a", losses);
  return losses;
}

std::map<std::string, double> VaeganPicturesStep::Run(const Batch& batch, std::int64_t step) {
  style_adversary_.SetRateShare(Rate(step));
  content_adversary_.SetRateShare(Rate(step));
  double style_loss = 0;
  double content_loss = 0;
  std::map<std::string, double> values = StepParts(
      batch, step, [&](const Batch& part) { return PartLosses(part, &style_loss, &content_loss); });
  values["discriminator_a"] = style_loss / config_.accumulate;
  values["discriminator_b"] = content_loss / config_.accumulate;
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeVaeganPicturesStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  nn::SharedLatentGenerator::Options options;
  if (config.base_channels > 0) {
    options.base_channels = config.base_channels;
  }
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  const auto generator = std::make_shared<nn::SharedLatentGenerator>(options);
  generator->InitializeWeights(MakeRandom(random.Next()));
  const auto mean =
      config.ema_decay > 0 ? std::make_shared<nn::SharedLatentGenerator>(options) : nullptr;
  std::vector<std::shared_ptr<nn::Discriminator>> discriminators(2);
  for (auto& discriminator : discriminators) {
    ATELIER_ASSIGN_OR_RETURN(
        discriminator, MakeDiscriminator(config.gan, /*in_channels=*/3, inputs.feature_weights,
                                         MakeRandom(random.Next())));
  }
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(inputs));
  return std::make_unique<VaeganPicturesStep>(
      config, Architecture{.generator = "shared-latent", .base_channels = options.base_channels},
      generator, mean, discriminators[0], discriminators[1], std::move(extra));
}

}  // namespace atelier::train
