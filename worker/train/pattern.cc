#include "worker/train/pattern.h"

#include <torch/torch.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/conditioning.h"
#include "worker/train/extra_losses.h"
#include "worker/train/generator_step.h"
#include "worker/train/gradients.h"
#include "worker/train/image_losses.h"
#include "worker/train/pattern_generator.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

class PatternStep final : public GeneratorStep<nn::PatternGenerator> {
 public:
  PatternStep(const TrainConfig& config, Conditioning conditioning,
              std::shared_ptr<nn::PatternGenerator> generator,
              std::shared_ptr<nn::PatternGenerator> mean,
              const std::shared_ptr<nn::PatternDiscriminator>& discriminator, ExtraLosses extra)
      : GeneratorStep(config, std::move(generator), std::move(mean)),
        conditioning_(std::move(conditioning)),
        discriminator_(discriminator),
        adversary_("discriminator", 0, config, discriminator,
                   [discriminator](const torch::Tensor& x, const torch::Tensor& condition) {
                     return discriminator->JudgeConditional(x, condition);
                   }),
        extra_(std::move(extra)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  void Describe(ModelSpec& spec) const override { DescribePattern(config_, conditioning_, spec); }
  std::vector<torch::Tensor> Sample(const torch::Tensor& /*pictures*/) override {
    return PatternRows(average_.result(), config_, conditioning_);
  }
  torch::Tensor Results(const Batch& batch) override {
    return PatternResults(average_.result(), config_, batch, conditioning_.Of(batch));
  }
  RealScores TakeRealScores() override {
    return {.content = adversary_.TakeRealScores(), .target = {}};
  }

 private:
  std::vector<Saved*> parts() override { return {&learner_, &adversary_, &average_}; }
  torch::Tensor Make(const torch::Tensor& noise, const torch::Tensor& condition) const {
    const Autocast autocast(config_.precision);
    return generator_->forward(noise, condition).to(torch::kFloat);
  }
  Losses GeneratorLosses(const Batch& part, std::int64_t draw);

  const Conditioning conditioning_;
  const std::shared_ptr<nn::PatternDiscriminator> discriminator_;
  Adversary adversary_;
  const ExtraLosses extra_;
};

// The draws of noise for one real picture: the discriminator's, the generator's, and the second
// batch of mode seeking.
enum Draw : std::int64_t { kForDiscriminator = 0, kForGenerator = 1, kForModes = 2 };

Losses PatternStep::GeneratorLosses(const Batch& part, std::int64_t draw) {
  const torch::Tensor condition = conditioning_.Of(part);
  const std::int64_t count = part.content.size(0);
  const torch::Tensor noise = LatentNoise(config_, part.first_sample, count, kForGenerator);
  const torch::Tensor made = Make(noise, condition);
  Losses losses = {{"adversarial", adversary_.GeneratorLoss(made, part.content, draw, condition)}};
  if (config_.gan.mode_seeking_weight > 0) {
    const torch::Tensor other = LatentNoise(config_, part.first_sample, count, kForModes);
    losses["mode_seeking"] =
        config_.gan.mode_seeking_weight * ModeSeeking(made, Make(other, condition), noise, other);
  }
  extra_.AddRegularization(*generator_, "", losses);
  return losses;
}

std::map<std::string, double> PatternStep::Run(const Batch& batch, std::int64_t step) {
  const double rate = Rate(step);
  learner_.SetRateShare(rate);
  adversary_.SetRateShare(rate);
  discriminator_->SetDropoutRandom(DropoutRandom(config_, step));
  double discriminator_loss = 0;  // the last turn's
  const std::int64_t count = static_cast<std::int64_t>(config_.batch_size) * config_.accumulate;
  for (std::int64_t turn = 0; turn < config_.gan.steps; ++turn) {
    const Batch part = Narrow(batch, turn * count, count);
    const torch::Tensor condition = conditioning_.Of(part);
    torch::Tensor made;
    {
      const torch::NoGradGuard no_grad;
      made = Make(LatentNoise(config_, part.first_sample, count, kForDiscriminator), condition);
    }
    discriminator_loss =
        adversary_.Learn(part.content, made, step * config_.gan.steps + turn, condition);
  }
  learner_.ZeroGradients();
  std::map<std::string, double> values = AccumulateGradients(config_.accumulate, [&](int i) {
    return GeneratorLosses(PartOf(batch, i), step * config_.accumulate + i);
  });
  values["discriminator"] = discriminator_loss;
  learner_.Step();
  average_.Update(step);
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakePatternStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  ATELIER_ASSIGN_OR_RETURN(Conditioning conditioning, Conditioning::Make(config, inputs.content));
  const nn::ConditionOptions condition = conditioning.options();
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  ATELIER_ASSIGN_OR_RETURN(auto generator,
                           MakeFreshPatternGenerator(config, condition, MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(auto mean, MakePatternMean(config, condition));
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakePatternDiscriminator(config, condition, MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(config, inputs.feature_weights));
  return std::make_unique<PatternStep>(config, std::move(conditioning), std::move(generator),
                                       std::move(mean), discriminator, std::move(extra));
}

}  // namespace atelier::train
