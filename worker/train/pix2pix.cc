#include "worker/train/pix2pix.h"

#include <torch/torch.h>

#include <utility>

#include "common/status_macros.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/averaging.h"
#include "worker/train/image_losses.h"
#include "worker/train/picture_generator.h"
#include "worker/train/random.h"
#include "worker/train/schedule.h"

namespace atelier::train {
namespace {

class Pix2pixStep final : public TrainStep {
 public:
  Pix2pixStep(const TrainConfig& config, std::shared_ptr<nn::Generator> generator,
              std::shared_ptr<nn::Generator> average,
              const std::shared_ptr<nn::Discriminator>& discriminator)
      : config_(config),
        generator_(std::move(generator)),
        learner_("generator", generator_, GeneratorOptions(config)),
        adversary_("discriminator", 0, config, discriminator),
        average_(std::move(average), generator_, config.ema_decay) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;

  double learning_rate() const override { return learner_.learning_rate(); }
  torch::nn::Module& result() override { return average_.result(); }
  std::vector<torch::nn::Module*> generators() override {
    return {generator_.get(), &average_.result()};
  }
  void Describe(ModelSpec& spec) const override { DescribePictureGenerator(config_, spec); }
  std::vector<torch::Tensor> Sample(const torch::Tensor& pictures) override {
    return {pictures, Restyle(average_.result(), pictures, config_.precision)};
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
  torch::Tensor Forward(const torch::Tensor& input) const {
    const Autocast autocast(config_.precision);
    return generator_->forward(input).to(torch::kFloat);
  }

  const TrainConfig config_;
  const std::shared_ptr<nn::Generator> generator_;
  Learner learner_;
  Adversary adversary_;
  Average<nn::Generator> average_;
};

std::map<std::string, double> Pix2pixStep::Run(const Batch& batch, std::int64_t step) {
  const double rate = RateShare(config_.schedule, step, config_.steps);
  learner_.SetRateShare(rate);
  adversary_.SetRateShare(rate);
  generator_->SetDropoutRandom(
      MakeRandom(KeyedRandom(config_.seed, step, 0, Purpose::kDropout).Next()));
  learner_.ZeroGradients();
  std::map<std::string, double> values;
  const double share = 1.0 / config_.accumulate;
  for (std::int64_t i = 0; i < config_.accumulate; ++i) {
    const Batch part = Narrow(batch, i * config_.batch_size, config_.batch_size);
    const torch::Tensor made = Forward(part.content);
    const torch::Tensor real_pair = torch::cat({part.content, part.target}, 1);
    const torch::Tensor made_pair = torch::cat({part.content, made}, 1);
    values["discriminator"] +=
        share * adversary_.Learn(real_pair, made_pair, step * config_.accumulate + i);
    const Losses losses = {{"adversarial", adversary_.GeneratorLoss(made_pair, real_pair,
                                                                    step * config_.accumulate + i)},
                           {"l1", config_.pix2pix.l1_weight * AbsoluteDistance(made, part.target)}};
    (Sum(losses) * share).backward();
    AddValues(losses, share, values);
  }
  learner_.Step();
  average_.Update(step);
  return values;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakePix2pixStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  ATELIER_ASSIGN_OR_RETURN(
      auto generator, MakePictureGenerator(config, MakeRandom(random.Next()), /*dropout=*/true));
  ATELIER_ASSIGN_OR_RETURN(auto average, MakePictureGenerator(config, MakeRandom(0)));
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakeDiscriminator(config.gan, /*in_channels=*/6, inputs.feature_weights,
                                             MakeRandom(random.Next())));
  return std::make_unique<Pix2pixStep>(config, std::move(generator), std::move(average),
                                       discriminator);
}

}  // namespace atelier::train
