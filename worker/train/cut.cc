#include "worker/train/cut.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/nn/resnet_generator.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/extra_losses.h"
#include "worker/train/gradients.h"
#include "worker/train/patch_nce.h"
#include "worker/train/picture_generator.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

class CutStep final : public PictureStep {
 public:
  CutStep(const TrainConfig& config, std::shared_ptr<nn::ResnetGenerator> generator,
          std::shared_ptr<nn::Generator> mean, PatchProjector projector,
          const std::shared_ptr<nn::Discriminator>& discriminator, ExtraLosses extra)
      : PictureStep(config, generator, std::move(mean)),
        resnet_(std::move(generator)),
        projector_(std::move(projector)),
        projector_learner_("projector", projector_.ptr(), GeneratorOptions(config)),
        adversary_("discriminator", 0, config, discriminator),
        extra_(std::move(extra)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;
  // It sees pictures of the style set only.
  RealScores TakeRealScores() override {
    return {.content = {}, .target = adversary_.TakeRealScores()};
  }

 private:
  std::vector<Saved*> parts() override {
    return {&learner_, &projector_learner_, &adversary_, &average_};
  }
  Losses PartLosses(const Batch& part, std::int64_t draw, double* discriminator_loss);
  torch::Tensor Nce(const torch::Tensor& source, const torch::Tensor& result, bool flipped,
                    KeyedRandom random);

  const std::shared_ptr<nn::ResnetGenerator> resnet_;  // the generator, for its features
  PatchProjector projector_;
  Learner projector_learner_;
  Adversary adversary_;
  const ExtraLosses extra_;
};

torch::Tensor CutStep::Nce(const torch::Tensor& source, const torch::Tensor& result, bool flipped,
                           KeyedRandom random) {
  std::vector<torch::Tensor> queries;
  std::vector<torch::Tensor> keys;
  {
    const Autocast autocast(config_.precision);
    queries = resnet_->Features(result, config_.cut.layers);
    keys = resnet_->Features(source, config_.cut.layers);
  }
  if (flipped) {
    for (torch::Tensor& features : queries) {
      features = features.flip(3);
    }
  }
  const std::vector<torch::Tensor> places = DrawPatches(keys, config_.cut.patches, random);
  return PatchNce(projector_->forward(queries, places), projector_->forward(keys, places),
                  source.size(0), config_.cut.temperature);
}

Losses CutStep::PartLosses(const Batch& part, std::int64_t draw, double* discriminator_loss) {
  KeyedRandom random(config_.seed, draw, 0, Purpose::kPatches);
  const bool flipped = config_.cut.flip_equivariance && random.Below(2) == 1;
  const bool identity = config_.cut.identity && config_.cut.nce_weight > 0;
  torch::Tensor sources = identity ? torch::cat({part.content, part.target}) : part.content;
  if (flipped) {
    sources = sources.flip(3);
  }
  const Levels results = ForwardLevels(*generator_, sources, config_);
  const std::int64_t count = part.content.size(0);
  Levels made_levels;
  for (const torch::Tensor& level : results) {
    made_levels.push_back(level.narrow(0, 0, count));
  }
  const torch::Tensor& made = made_levels.front();
  *discriminator_loss += adversary_.LearnPart(part.target, made_levels, draw);
  Losses losses = {{"adversarial", adversary_.GeneratorLoss(made_levels, part.target, draw)}};
  extra_.Add(made, sources.narrow(0, 0, count), part.target, *generator_, "", losses);
  if (config_.cut.nce_weight > 0) {
    const double weight = config_.cut.nce_weight * (identity ? 0.5 : 1.0);
    losses["nce"] = weight * Nce(part.content, made, flipped, random);
    if (identity) {
      const KeyedRandom other(config_.seed, draw, 1, Purpose::kPatches);
      losses["nce_identity"] =
          weight * Nce(part.target, results.front().narrow(0, count, count), flipped, other);
    }
  }
  return losses;
}

std::map<std::string, double> CutStep::Run(const Batch& batch, std::int64_t step) {
  adversary_.SetRateShare(Rate(step));
  double discriminator_loss = 0;
  std::map<std::string, double> values =
      StepParts(batch, step,
                [&](const Batch& part, std::int64_t draw) {
                  return PartLosses(part, draw, &discriminator_loss);
                },
                {&projector_learner_});
  values["discriminator"] = discriminator_loss / config_.accumulate;
  return values;
}

// The channels of the generator's layers that are compared.
std::vector<std::int64_t> ChannelsOf(nn::ResnetGenerator& generator,
                                     const std::vector<int>& layers) {
  const torch::NoGradGuard no_grad;
  std::vector<std::int64_t> channels;
  for (const torch::Tensor& features : generator.Features(torch::zeros({1, 3, 32, 32}), layers)) {
    channels.push_back(features.size(1));
  }
  return channels;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeCutStep(const StepInputs& inputs) {
  TrainConfig config = inputs.config;
  std::ranges::sort(config.cut.layers);
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  ATELIER_ASSIGN_OR_RETURN(auto made, MakePictureGenerator(config, MakeRandom(random.Next())));
  auto generator = std::dynamic_pointer_cast<nn::ResnetGenerator>(made);
  if (generator == nullptr) {
    return InvalidField("train.generator",
                        R"(must be a ResNet for the family "cut", for example "cut-resnet-9")");
  }
  if (config.cut.layers.back() >= generator->layers()) {
    return InvalidField("train.cut.layers", "must be below " + std::to_string(generator->layers()) +
                                                ", the number of layers that this generator has");
  }
  ATELIER_ASSIGN_OR_RETURN(auto mean, MakePictureMean(config));
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakeDiscriminator(config.gan, /*in_channels=*/3, inputs.feature_weights,
                                             MakeRandom(random.Next())));
  PatchProjector projector(ChannelsOf(*generator, config.cut.layers));
  projector->InitializeWeights(MakeRandom(random.Next()));
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(config, inputs.feature_weights));
  return std::make_unique<CutStep>(config, std::move(generator), std::move(mean),
                                   std::move(projector), discriminator, std::move(extra));
}

}  // namespace atelier::train
