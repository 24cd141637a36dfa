#include "worker/train/vaegan.h"

#include <torch/torch.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/nn/vae.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/generator_step.h"
#include "worker/train/gradients.h"
#include "worker/train/image_losses.h"
#include "worker/train/pattern_generator.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

// The draws of noise for one picture.
enum VaeganDraw : std::int64_t { kPrior = 0, kPosterior = 1 };

class VaeganStep final : public GeneratorStep<nn::PatternGenerator> {
 public:
  VaeganStep(const TrainConfig& config, std::shared_ptr<nn::PatternEncoder> encoder,
             std::shared_ptr<nn::PatternGenerator> generator,
             std::shared_ptr<nn::PatternGenerator> mean,
             const std::shared_ptr<nn::PatternDiscriminator>& discriminator)
      : GeneratorStep(config, std::move(generator), std::move(mean)),
        encoder_(std::move(encoder)),
        discriminator_(discriminator),
        encoder_learner_("encoder", encoder_, GeneratorOptions(config)),
        adversary_("discriminator", 0, config, discriminator) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  void Describe(ModelSpec& spec) const override { DescribePattern(config_, Conditioning(), spec); }
  torch::Tensor Results(const Batch& batch) override {
    return PatternResults(average_.result(), config_, batch, {});
  }
  RealScores TakeRealScores() override {
    return {.content = real_scores_.empty() ? torch::Tensor()
                                            : torch::cat(std::exchange(real_scores_, {})),
            .target = {}};
  }
  // Reconstructions differ as the pictures do, also when all noise becomes one pattern.
  ResultRow result_row() const override { return {.row = 2}; }
  // Pictures, their reconstructions, and patterns from noise.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    encoder_->eval();
    const nn::LatentDistribution latent = encoder_->Encode(pictures);
    encoder_->train();
    const bool was_training = average_.result().is_training();
    average_.result().eval();
    const torch::Tensor noise =
        LatentNoise(config_, {.count = pictures.size(0)}, kPrior, *generator_);
    std::vector<torch::Tensor> rows = {pictures, average_.result().Generate(latent.mean, {}),
                                       average_.result().Generate(noise, {})};
    average_.result().train(was_training);
    return rows;
  }

 private:
  std::vector<Saved*> other_parts() override { return {&encoder_learner_, &adversary_}; }
  Losses PartLosses(const Batch& part, double* discriminator_loss);

  const std::shared_ptr<nn::PatternEncoder> encoder_;
  const std::shared_ptr<nn::PatternDiscriminator> discriminator_;
  Learner encoder_learner_;
  Adversary adversary_;
  std::vector<torch::Tensor> real_scores_;  // a part of the batch each
};

Losses VaeganStep::PartLosses(const Batch& part, double* discriminator_loss) {
  discriminator_->SetDropoutRandom(DropoutRandoms(config_, part.samples()));
  const torch::Tensor& real = part.content;
  const std::int64_t count = real.size(0);
  nn::LatentDistribution latent;
  torch::Tensor rebuilt;
  torch::Tensor invented;
  {
    const Autocast autocast(config_.precision, real.device());
    latent = encoder_->Encode(real);
    latent = {latent.mean.to(torch::kFloat), latent.log_variance.to(torch::kFloat)};
    const auto noise = [&](VaeganDraw draw) {
      return LatentNoise(config_, part.samples(), draw, *generator_);
    };
    rebuilt =
        generator_->forward(nn::Reparameterize(latent, noise(kPosterior)), {}).to(torch::kFloat);
    invented = generator_->forward(noise(kPrior), {}).to(torch::kFloat);
  }
  *discriminator_loss += adversary_.LearnPart(torch::cat({real, real}),
                                              {torch::cat({rebuilt, invented})}, part.samples());
  // It saw each real picture twice.
  if (const torch::Tensor scores = adversary_.TakeRealScores(); scores.defined()) {
    real_scores_.push_back(scores.narrow(0, 0, count));
  }
  const nn::Discriminator::Judgement of_real = adversary_.Look(real);
  const nn::Discriminator::Judgement of_rebuilt = adversary_.Look(rebuilt);
  const VaeganConfig& weight = config_.vaegan;
  return {{"reconstruction", weight.reconstruction_weight * AbsoluteDistance(rebuilt, real)},
          {"feature_matching",
           weight.feature_matching_weight * FeatureMatching(of_rebuilt.features, of_real.features)},
          {"kl", weight.kl_weight / config_.pattern.latent_size *
                     KlDivergence(latent.mean, latent.log_variance)},
          {"adversarial", adversary_.GeneratorLoss(invented, real, part.samples())},
          {"regularization", weight.regularization_weight *
                                 (SquaredWeights(*encoder_) + SquaredWeights(*generator_))}};
}

std::map<std::string, double> VaeganStep::Run(const Batch& batch, std::int64_t step) {
  adversary_.SetRateShare(Rate(step));
  double discriminator_loss = 0;
  std::map<std::string, double> values = StepParts(
      batch, step, [&](const Batch& part) { return PartLosses(part, &discriminator_loss); },
      {&encoder_learner_});
  values["discriminator"] = discriminator_loss / config_.accumulate;
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeVaeganStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  ATELIER_ASSIGN_OR_RETURN(auto generator, MakeFreshPatternGenerator(config, nn::ConditionOptions(),
                                                                     MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(auto mean, MakePatternMean(config, nn::ConditionOptions()));
  ATELIER_ASSIGN_OR_RETURN(
      auto discriminator,
      MakePatternDiscriminator(config, nn::ConditionOptions(), MakeRandom(random.Next())));
  auto encoder = std::make_shared<nn::PatternEncoder>(
      nn::PatternEncoder::Options{.side = config.image_size,
                                  .latent_size = config.pattern.latent_size,
                                  .base_channels = PatternArchitecture(config).base_channels});
  encoder->InitializeWeights(MakeRandom(random.Next()));
  return std::make_unique<VaeganStep>(config, std::move(encoder), std::move(generator),
                                      std::move(mean), discriminator);
}

}  // namespace atelier::train
