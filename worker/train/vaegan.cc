#include "worker/train/vaegan.h"

#include <torch/torch.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/nn/vae.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/averaging.h"
#include "worker/train/image_losses.h"
#include "worker/train/pattern_generator.h"
#include "worker/train/picture_generator.h"
#include "worker/train/random.h"
#include "worker/train/schedule.h"

namespace atelier::train {
namespace {

// The draws of noise for one picture.
enum Draw : std::int64_t { kPrior = 0, kPosterior = 1 };

class VaeganStep final : public TrainStep {
 public:
  VaeganStep(const TrainConfig& config, std::shared_ptr<nn::PatternEncoder> encoder,
             std::shared_ptr<nn::PatternGenerator> generator,
             std::shared_ptr<nn::PatternGenerator> average,
             const std::shared_ptr<nn::PatternDiscriminator>& discriminator)
      : config_(config),
        encoder_(std::move(encoder)),
        generator_(std::move(generator)),
        discriminator_(discriminator),
        encoder_learner_("encoder", encoder_, GeneratorOptions(config)),
        generator_learner_("generator", generator_, GeneratorOptions(config)),
        adversary_("discriminator", 0, config, discriminator),
        average_(std::move(average), generator_, config.ema_decay) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;

  double learning_rate() const override { return generator_learner_.learning_rate(); }
  torch::nn::Module& result() override { return average_.result(); }
  std::vector<torch::nn::Module*> generators() override {
    return {generator_.get(), &average_.result()};
  }
  void Describe(ModelSpec& spec) const override {
    spec.tier = "";
    spec.architecture = PatternArchitecture(config_);
    spec.capabilities = {"generate", "seed", "truncation", "interpolation"};
  }
  // Pictures, their reconstructions, and patterns from noise.
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    encoder_->eval();
    const nn::LatentDistribution latent = encoder_->Encode(pictures);
    encoder_->train();
    const bool was_training = average_.result().is_training();
    average_.result().eval();
    const torch::Tensor noise = LatentNoise(config_, 0, pictures.size(0), kPrior);
    std::vector<torch::Tensor> rows = {pictures, average_.result().Generate(latent.mean, {}),
                                       average_.result().Generate(noise, {})};
    average_.result().train(was_training);
    return rows;
  }

  TensorMap State() override {
    TensorMap state;
    encoder_learner_.Save(state);
    generator_learner_.Save(state);
    adversary_.Save(state);
    average_.Save(state);
    return state;
  }

  absl::Status LoadState(const TensorMap& state) override {
    ATELIER_RETURN_IF_ERROR(encoder_learner_.Load(state));
    ATELIER_RETURN_IF_ERROR(generator_learner_.Load(state));
    ATELIER_RETURN_IF_ERROR(adversary_.Load(state));
    return average_.Load(state);
  }

 private:
  Losses PartLosses(const Batch& part, std::int64_t draw, double* discriminator_loss);

  const TrainConfig config_;
  const std::shared_ptr<nn::PatternEncoder> encoder_;
  const std::shared_ptr<nn::PatternGenerator> generator_;
  const std::shared_ptr<nn::PatternDiscriminator> discriminator_;
  Learner encoder_learner_;
  Learner generator_learner_;
  Adversary adversary_;
  Average<nn::PatternGenerator> average_;
};

Losses VaeganStep::PartLosses(const Batch& part, std::int64_t draw, double* discriminator_loss) {
  const torch::Tensor& real = part.content;
  const std::int64_t count = real.size(0);
  nn::LatentDistribution latent;
  torch::Tensor rebuilt;
  torch::Tensor invented;
  {
    const Autocast autocast(config_.precision);
    latent = encoder_->Encode(real);
    latent = {latent.mean.to(torch::kFloat), latent.log_variance.to(torch::kFloat)};
    const torch::Tensor code =
        nn::Reparameterize(latent, LatentNoise(config_, part.first_sample, count, kPosterior));
    rebuilt = generator_->forward(code, {}).to(torch::kFloat);
    invented = generator_->forward(LatentNoise(config_, part.first_sample, count, kPrior), {})
                   .to(torch::kFloat);
  }
  *discriminator_loss =
      adversary_.Learn(torch::cat({real, real}), torch::cat({rebuilt, invented}), draw);
  const nn::Discriminator::Judgement of_real = adversary_.Look(real);
  const nn::Discriminator::Judgement of_rebuilt = adversary_.Look(rebuilt);
  const VaeganConfig& weight = config_.vaegan;
  return {{"reconstruction", weight.reconstruction_weight * AbsoluteDistance(rebuilt, real)},
          {"feature_matching",
           weight.feature_matching_weight * FeatureMatching(of_rebuilt.features, of_real.features)},
          {"kl", weight.kl_weight / config_.pattern.latent_size *
                     KlDivergence(latent.mean, latent.log_variance)},
          {"adversarial", adversary_.GeneratorLoss(invented, real, draw)},
          {"regularization", weight.regularization_weight *
                                 (SquaredWeights(*encoder_) + SquaredWeights(*generator_))}};
}

std::map<std::string, double> VaeganStep::Run(const Batch& batch, std::int64_t step) {
  const double rate = RateShare(config_.schedule, step, config_.steps);
  adversary_.SetRateShare(rate);
  for (Learner* learner : {&encoder_learner_, &generator_learner_}) {
    learner->SetRateShare(rate);
    learner->ZeroGradients();
  }
  discriminator_->SetDropoutRandom(
      MakeRandom(KeyedRandom(config_.seed, step, 0, Purpose::kDropout).Next()));
  std::map<std::string, double> values;
  const double share = 1.0 / config_.accumulate;
  for (std::int64_t i = 0; i < config_.accumulate; ++i) {
    const Batch part = Narrow(batch, i * config_.batch_size, config_.batch_size);
    double discriminator_loss = 0;
    const Losses losses = PartLosses(part, step * config_.accumulate + i, &discriminator_loss);
    (Sum(losses) * share).backward();
    AddValues(losses, share, values);
    values["discriminator"] += share * discriminator_loss;
  }
  encoder_learner_.Step();
  generator_learner_.Step();
  average_.Update(step);
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeVaeganStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  ATELIER_ASSIGN_OR_RETURN(
      auto generator, MakeFreshPatternGenerator(config, /*classes=*/0, MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(auto average,
                           MakeFreshPatternGenerator(config, /*classes=*/0, MakeRandom(0)));
  ATELIER_ASSIGN_OR_RETURN(auto discriminator, MakePatternDiscriminator(config, /*classes=*/0,
                                                                        MakeRandom(random.Next())));
  auto encoder = std::make_shared<nn::PatternEncoder>(
      nn::PatternEncoder::Options{.side = config.image_size,
                                  .latent_size = config.pattern.latent_size,
                                  .base_channels = PatternArchitecture(config).base_channels});
  encoder->InitializeWeights(MakeRandom(random.Next()));
  return std::make_unique<VaeganStep>(config, std::move(encoder), std::move(generator),
                                      std::move(average), discriminator);
}

}  // namespace atelier::train
