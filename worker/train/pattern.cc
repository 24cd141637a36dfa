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
  ResultRow result_row() const override { return {.row = 1, .label = conditioning_.LabelOfRow(1)}; }
  torch::Tensor Results(const Batch& batch) override {
    return PatternResults(average_.result(), config_, batch, conditioning_.Of(batch));
  }
  RealScores TakeRealScores() override {
    return {.content = adversary_.TakeRealScores(), .target = {}};
  }

 private:
  std::vector<Saved*> other_parts() override { return {&adversary_}; }
  torch::Tensor Make(const torch::Tensor& noise, const torch::Tensor& condition) const {
    const Autocast autocast(config_.precision, noise.device());
    return generator_->forward(noise, condition).to(torch::kFloat);
  }
  Losses GeneratorLosses(const Batch& part);

  const Conditioning conditioning_;
  const std::shared_ptr<nn::PatternDiscriminator> discriminator_;
  Adversary adversary_;
  const ExtraLosses extra_;
};

// The draws of noise for one real picture: the discriminator's, the generator's, and the second
// batch of mode seeking.
enum PatternDraw : std::int64_t { kForDiscriminator = 0, kForGenerator = 1, kForModes = 2 };

Losses PatternStep::GeneratorLosses(const Batch& part) {
  discriminator_->SetDropoutRandom(DropoutRandoms(config_, part.samples(), kForGenerator));
  const torch::Tensor condition = conditioning_.Of(part);
  const torch::Tensor noise = LatentNoise(config_, part.samples(), kForGenerator, *generator_);
  const torch::Tensor made = Make(noise, condition);
  Losses losses = {
      {"adversarial", adversary_.GeneratorLoss(made, part.content, part.samples(), condition)}};
  if (config_.gan.mode_seeking_weight > 0) {
    const torch::Tensor other = LatentNoise(config_, part.samples(), kForModes, *generator_);
    losses["mode_seeking"] =
        config_.gan.mode_seeking_weight * ModeSeeking(made, Make(other, condition), noise, other);
  }
  extra_.AddRegularization(*generator_, "", losses);
  return losses;
}

std::map<std::string, double> PatternStep::Run(const Batch& batch, std::int64_t step) {
  adversary_.SetRateShare(Rate(step));
  double discriminator_loss = 0;  // the last turn's
  const std::int64_t count = static_cast<std::int64_t>(config_.batch_size) * config_.accumulate;
  for (std::int64_t turn = 0; turn < config_.gan.steps; ++turn) {
    const Batch part = Narrow(batch, turn * count, count);
    discriminator_->SetDropoutRandom(DropoutRandoms(config_, part.samples(), kForDiscriminator));
    const torch::Tensor condition = conditioning_.Of(part);
    torch::Tensor made;
    {
      const torch::NoGradGuard no_grad;
      made = Make(LatentNoise(config_, part.samples(), kForDiscriminator, *generator_), condition);
    }
    discriminator_loss = adversary_.Learn(part.content, made, part.samples(), condition);
  }
  std::map<std::string, double> values =
      StepParts(batch, step, [&](const Batch& part) { return GeneratorLosses(part); });
  values["discriminator"] = discriminator_loss;
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
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(inputs));
  return std::make_unique<PatternStep>(config, std::move(conditioning), std::move(generator),
                                       std::move(mean), discriminator, std::move(extra));
}

}  // namespace atelier::train
