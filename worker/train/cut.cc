#include "worker/train/cut.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/nn/blocks.h"
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
  std::vector<Saved*> other_parts() override { return {&projector_learner_, &adversary_}; }
  Losses PartLosses(const Batch& part, double* discriminator_loss);
  torch::Tensor DrawFlips(std::vector<KeyedRandom>& randoms) const;
  torch::Tensor Nce(const torch::Tensor& source, const torch::Tensor& result,
                    const torch::Tensor& flips, std::vector<KeyedRandom> randoms);

  const std::shared_ptr<nn::ResnetGenerator> resnet_;  // the generator, for its features
  PatchProjector projector_;
  Learner projector_learner_;
  Adversary adversary_;
  const ExtraLosses extra_;
};

// Whether each picture is flipped, bool [N]; undefined without flip equivariance.
torch::Tensor CutStep::DrawFlips(std::vector<KeyedRandom>& randoms) const {
  if (!config_.cut.flip_equivariance) {
    return {};
  }
  torch::Tensor flips = torch::empty({static_cast<std::int64_t>(randoms.size())}, torch::kBool);
  auto flip = flips.accessor<bool, 1>();
  for (std::size_t i = 0; i < randoms.size(); ++i) {
    flip[static_cast<std::int64_t>(i)] = randoms[i].Below(2) == 1;
  }
  return flips;
}

// [N, C, H, W] with the pictures of `flips` flipped left and right.
torch::Tensor Flipped(const torch::Tensor& x, const torch::Tensor& flips) {
  return flips.defined() ? torch::where(flips.to(x.device()).view({-1, 1, 1, 1}), x.flip(3), x) : x;
}

torch::Tensor CutStep::Nce(const torch::Tensor& source, const torch::Tensor& result,
                           const torch::Tensor& flips, std::vector<KeyedRandom> randoms) {
  std::vector<torch::Tensor> queries;
  std::vector<torch::Tensor> keys;
  {
    const Autocast autocast(config_.precision, source.device());
    queries = resnet_->Features(result, config_.cut.layers);
    keys = resnet_->Features(source, config_.cut.layers);
  }
  for (torch::Tensor& features : queries) {
    features = Flipped(features, flips);
  }
  const std::vector<torch::Tensor> places =
      DrawPatches(keys, config_.cut.patches, std::move(randoms));
  return PatchNce(projector_->forward(queries, places), projector_->forward(keys, places),
                  source.size(0), config_.cut.temperature);
}

Losses CutStep::PartLosses(const Batch& part, double* discriminator_loss) {
  const std::int64_t count = part.content.size(0);
  const auto randoms = [&](std::int64_t draw) {
    return KeyedRandoms(config_.seed, part.samples(), count, draw, Purpose::kPatches);
  };
  std::vector<KeyedRandom> of_content = randoms(0);
  const torch::Tensor flips = DrawFlips(of_content);
  const bool identity = config_.cut.identity && config_.cut.nce_weight > 0;
  torch::Tensor sources = Flipped(part.content, flips);
  if (identity) {
    sources = torch::cat({sources, Flipped(part.target, flips)});
  }
  const Levels results = ForwardLevels(*generator_, sources, config_);
  Levels made_levels;
  for (const torch::Tensor& level : results) {
    made_levels.push_back(level.narrow(0, 0, count));
  }
  const torch::Tensor& made = made_levels.front();
  *discriminator_loss += adversary_.LearnPart(part.target, made_levels, part.samples());
  Losses losses = {
      {"adversarial", adversary_.GeneratorLoss(made_levels, part.target, part.samples())}};
  extra_.Add(made, sources.narrow(0, 0, count), part.target, *generator_, "", losses);
  if (config_.cut.nce_weight > 0) {
    const double weight = config_.cut.nce_weight * (identity ? 0.5 : 1.0);
    losses["nce"] = weight * Nce(part.content, made, flips, std::move(of_content));
    if (identity) {
      losses["nce_identity"] =
          weight * Nce(part.target, results.front().narrow(0, count, count), flips, randoms(1));
    }
  }
  return losses;
}

std::map<std::string, double> CutStep::Run(const Batch& batch, std::int64_t step) {
  adversary_.SetRateShare(Rate(step));
  double discriminator_loss = 0;
  std::map<std::string, double> values = StepParts(
      batch, step, [&](const Batch& part) { return PartLosses(part, &discriminator_loss); },
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
  nn::InitializeXavier(*generator, MakeRandom(random.Next()));
  nn::InitializeXavier(*discriminator, MakeRandom(random.Next()));
  nn::InitializeXavier(*projector, MakeRandom(random.Next()));
  ATELIER_ASSIGN_OR_RETURN(ExtraLosses extra, ExtraLosses::Make(inputs));
  return std::make_unique<CutStep>(config, std::move(generator), std::move(mean),
                                   std::move(projector), discriminator, std::move(extra));
}

}  // namespace atelier::train
