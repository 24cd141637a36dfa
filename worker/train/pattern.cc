#include "worker/train/pattern.h"

#include <torch/torch.h>

#include <utility>

#include "common/family.h"
#include "common/status_macros.h"
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

constexpr std::size_t kMaxClasses = 1000;

class PatternStep final : public TrainStep {
 public:
  PatternStep(const TrainConfig& config, std::vector<std::string> classes,
              std::shared_ptr<nn::PatternGenerator> generator,
              std::shared_ptr<nn::PatternGenerator> average,
              const std::shared_ptr<nn::PatternDiscriminator>& discriminator)
      : config_(config),
        classes_(std::move(classes)),
        generator_(std::move(generator)),
        discriminator_(discriminator),
        learner_("generator", generator_, GeneratorOptions(config)),
        adversary_("discriminator", 0, config, discriminator,
                   [discriminator](const torch::Tensor& x, const torch::Tensor& condition) {
                     return discriminator->JudgeConditional(x, condition);
                   }),
        average_(std::move(average), generator_, config.ema_decay) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;

  double learning_rate() const override { return learner_.learning_rate(); }
  torch::nn::Module& result() override { return average_.result(); }
  std::vector<torch::nn::Module*> generators() override {
    return {generator_.get(), &average_.result()};
  }
  void Describe(ModelSpec& spec) const override {
    spec.tier = "";
    spec.architecture = PatternArchitecture(config_);
    spec.classes = classes_;
    spec.capabilities = {"generate", "seed", "truncation", "interpolation"};
    if (!classes_.empty()) {
      spec.capabilities.emplace_back("label");
    }
  }
  std::vector<torch::Tensor> Sample(const torch::Tensor& /*pictures*/) override {
    return PatternRows(average_.result(), config_, static_cast<int>(classes_.size()));
  }

  TensorMap State() override {
    TensorMap state;
    learner_.Save(state);
    adversary_.Save(state);
    average_.Save(state);
    return state;
  }

  absl::Status LoadState(const TensorMap& state) override {
    ATELIER_RETURN_IF_ERROR(learner_.Load(state));
    ATELIER_RETURN_IF_ERROR(adversary_.Load(state));
    return average_.Load(state);
  }

 private:
  torch::Tensor Make(const torch::Tensor& noise, const torch::Tensor& condition) const {
    const Autocast autocast(config_.precision);
    return generator_->forward(noise, condition).to(torch::kFloat);
  }
  torch::Tensor ConditionOf(const Batch& part) const {
    return classes_.empty() ? torch::Tensor() : part.labels;
  }
  Losses GeneratorLosses(const Batch& part, std::int64_t step);

  const TrainConfig config_;
  const std::vector<std::string> classes_;
  const std::shared_ptr<nn::PatternGenerator> generator_;
  const std::shared_ptr<nn::PatternDiscriminator> discriminator_;
  Learner learner_;
  Adversary adversary_;
  Average<nn::PatternGenerator> average_;
};

// The draws of noise for one real picture: the discriminator's, the generator's, and the second
// batch of mode seeking.
enum Draw : std::int64_t { kForDiscriminator = 0, kForGenerator = 1, kForModes = 2 };

Losses PatternStep::GeneratorLosses(const Batch& part, std::int64_t step) {
  const torch::Tensor condition = ConditionOf(part);
  const std::int64_t count = part.content.size(0);
  const torch::Tensor noise = LatentNoise(config_, part.first_sample, count, kForGenerator);
  const torch::Tensor made = Make(noise, condition);
  Losses losses = {{"adversarial", adversary_.GeneratorLoss(made, part.content, step, condition)}};
  if (config_.gan.mode_seeking_weight > 0) {
    const torch::Tensor other = LatentNoise(config_, part.first_sample, count, kForModes);
    losses["mode_seeking"] =
        config_.gan.mode_seeking_weight * ModeSeeking(made, Make(other, condition), noise, other);
  }
  return losses;
}

std::map<std::string, double> PatternStep::Run(const Batch& batch, std::int64_t step) {
  const double rate = RateShare(config_.schedule, step, config_.steps);
  learner_.SetRateShare(rate);
  adversary_.SetRateShare(rate);
  discriminator_->SetDropoutRandom(
      MakeRandom(KeyedRandom(config_.seed, step, 0, Purpose::kDropout).Next()));
  std::map<std::string, double> values;
  const std::int64_t count = static_cast<std::int64_t>(config_.batch_size) * config_.accumulate;
  for (std::int64_t turn = 0; turn < config_.gan.steps; ++turn) {
    const Batch part = Narrow(batch, turn * count, count);
    torch::Tensor made;
    {
      const torch::NoGradGuard no_grad;
      made = Make(LatentNoise(config_, part.first_sample, count, kForDiscriminator),
                  ConditionOf(part));
    }
    values["discriminator"] =
        adversary_.Learn(part.content, made, step * config_.gan.steps + turn, ConditionOf(part));
  }
  learner_.ZeroGradients();
  const double share = 1.0 / config_.accumulate;
  for (std::int64_t i = 0; i < config_.accumulate; ++i) {
    const Losses losses = GeneratorLosses(Narrow(batch, i * config_.batch_size, config_.batch_size),
                                          step * config_.accumulate + i);
    (Sum(losses) * share).backward();
    AddValues(losses, share, values);
  }
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
  ATELIER_ASSIGN_OR_RETURN(auto average, MakeFreshPatternGenerator(config, count, MakeRandom(0)));
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakePatternDiscriminator(config, count, MakeRandom(random.Next())));
  return std::make_unique<PatternStep>(config, std::move(classes), std::move(generator),
                                       std::move(average), discriminator);
}

}  // namespace atelier::train
