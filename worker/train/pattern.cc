#include "worker/train/pattern.h"

#include <torch/torch.h>

#include <utility>

#include "common/family.h"
#include "common/status_macros.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/generator_step.h"
#include "worker/train/gradients.h"
#include "worker/train/image_losses.h"
#include "worker/train/pattern_generator.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

constexpr std::size_t kMaxClasses = 1000;

class PatternStep final : public GeneratorStep<nn::PatternGenerator> {
 public:
  PatternStep(const TrainConfig& config, std::vector<std::string> classes,
              std::shared_ptr<nn::PatternGenerator> generator,
              std::shared_ptr<nn::PatternGenerator> mean,
              const std::shared_ptr<nn::PatternDiscriminator>& discriminator)
      : GeneratorStep(config, std::move(generator), std::move(mean)),
        classes_(std::move(classes)),
        discriminator_(discriminator),
        adversary_("discriminator", 0, config, discriminator,
                   [discriminator](const torch::Tensor& x, const torch::Tensor& condition) {
                     return discriminator->JudgeConditional(x, condition);
                   }) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  void Describe(ModelSpec& spec) const override { DescribePattern(config_, classes_, spec); }
  std::vector<torch::Tensor> Sample(const torch::Tensor& /*pictures*/) override {
    return PatternRows(average_.result(), config_, static_cast<int>(classes_.size()));
  }

 private:
  std::vector<Saved*> parts() override { return {&learner_, &adversary_, &average_}; }
  torch::Tensor Make(const torch::Tensor& noise, const torch::Tensor& condition) const {
    const Autocast autocast(config_.precision);
    return generator_->forward(noise, condition).to(torch::kFloat);
  }
  torch::Tensor ConditionOf(const Batch& part) const {
    return classes_.empty() ? torch::Tensor() : part.labels;
  }
  Losses GeneratorLosses(const Batch& part, std::int64_t draw);

  const std::vector<std::string> classes_;
  const std::shared_ptr<nn::PatternDiscriminator> discriminator_;
  Adversary adversary_;
};

// The draws of noise for one real picture: the discriminator's, the generator's, and the second
// batch of mode seeking.
enum Draw : std::int64_t { kForDiscriminator = 0, kForGenerator = 1, kForModes = 2 };

Losses PatternStep::GeneratorLosses(const Batch& part, std::int64_t draw) {
  const torch::Tensor condition = ConditionOf(part);
  const std::int64_t count = part.content.size(0);
  const torch::Tensor noise = LatentNoise(config_, part.first_sample, count, kForGenerator);
  const torch::Tensor made = Make(noise, condition);
  Losses losses = {{"adversarial", adversary_.GeneratorLoss(made, part.content, draw, condition)}};
  if (config_.gan.mode_seeking_weight > 0) {
    const torch::Tensor other = LatentNoise(config_, part.first_sample, count, kForModes);
    losses["mode_seeking"] =
        config_.gan.mode_seeking_weight * ModeSeeking(made, Make(other, condition), noise, other);
  }
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
    torch::Tensor made;
    {
      const torch::NoGradGuard no_grad;
      made = Make(LatentNoise(config_, part.first_sample, count, kForDiscriminator),
                  ConditionOf(part));
    }
    discriminator_loss =
        adversary_.Learn(part.content, made, step * config_.gan.steps + turn, ConditionOf(part));
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
  std::vector<std::string> classes;
  if (FindFamily(config.family)->has_labels) {
    classes = inputs.content.labels();
    if (classes.size() < 2 || classes.size() > kMaxClasses) {
      return absl::FailedPreconditionError(
          "the family \"" + config.family + "\" learns what folders are called: the data set \"" +
          config.content_dataset + "\" needs from 2 to 1000 folders of pictures and has " +
          std::to_string(classes.size()));
    }
  }
  const auto count = static_cast<int>(classes.size());
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  ATELIER_ASSIGN_OR_RETURN(auto generator,
                           MakeFreshPatternGenerator(config, count, MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(auto mean, MakePatternMean(config, count));
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakePatternDiscriminator(config, count, MakeRandom(random.Next())));
  return std::make_unique<PatternStep>(config, std::move(classes), std::move(generator),
                                       std::move(mean), discriminator);
}

}  // namespace atelier::train
