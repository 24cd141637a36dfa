#include "worker/train/faststyle.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/kernels/pixels.h"
#include "worker/models/feature_network.h"
#include "worker/train/adversary.h"
#include "worker/train/autocast.h"
#include "worker/train/gradients.h"
#include "worker/train/losses.h"
#include "worker/train/picture_generator.h"
#include "worker/train/random.h"
#include "worker/train/style_set.h"

namespace atelier::train {
namespace {

// The parts of the recipe that are no options; found by trial on garments and paintings.
constexpr int kCandidates = 16;          // paintings that a photograph chooses from
constexpr int kMaxJitter = 32;           // pixels
constexpr int kPatch = 160;              // side of the crops that the discriminator sees, pixels
constexpr std::int64_t kCloudSide = 32;  // pixels a side in a result's palette
constexpr double kContentBlock4 = 0.075;
constexpr int kDirections = 8;  // of the sliced Wasserstein distance

// `count` random columns of a palette [3, M], as [1, 3, count].
torch::Tensor DrawColors(const torch::Tensor& palette, std::int64_t count, KeyedRandom& random) {
  const torch::Tensor indices =
      torch::randint(palette.size(1), {count}, MakeRandom(random.Next()), torch::kInt64);
  return palette.index_select(1, indices).unsqueeze(0);
}

// Red, green and blue, and random unit vectors.
torch::Tensor Directions(KeyedRandom& random) {
  const torch::Tensor drawn =
      torch::randn({kDirections - 3, 3}, MakeRandom(random.Next()), torch::kFloat32);
  return torch::cat({torch::eye(3), drawn / drawn.norm(2, 1, true)});
}

class FaststyleStep final : public PictureStep {
 public:
  FaststyleStep(const TrainConfig& config, std::shared_ptr<nn::Generator> generator,
                std::shared_ptr<nn::Generator> mean,
                const std::shared_ptr<nn::Discriminator>& discriminator,
                std::shared_ptr<nn::EfficientNetLite> network, StyleSet style)
      : PictureStep(config, std::move(generator), std::move(mean)),
        adversary_("discriminator", 0, config, discriminator),
        network_(std::move(network)),
        style_(std::move(style)) {}

  std::map<std::string, double> Run(const Batch& batch, std::int64_t step) override;

 private:
  struct Choice {
    std::vector<const StyleSet::Painting*> paintings;  // one a photograph
    std::size_t scale = 0;
  };

  std::vector<Saved*> parts() override { return {&learner_, &adversary_, &average_}; }
  Choice ChoosePaintings(const torch::Tensor& photo_colors, KeyedRandom& random) const;
  torch::Tensor StyleLoss(const std::vector<torch::Tensor>& grams, const Choice& choice) const;
  torch::Tensor ContentLoss(const std::vector<torch::Tensor>& result,
                            const std::vector<torch::Tensor>& photo) const;
  torch::Tensor PaintingCrops(const Choice& choice, int side, KeyedRandom& random) const;
  Losses LossesOf(const torch::Tensor& content, std::int64_t step, KeyedRandom& random,
                  double* discriminator_loss);
  Losses Perceptual(const torch::Tensor& result, const torch::Tensor& photo, KeyedRandom& random,
                    Choice* choice) const;
  torch::Tensor Adversarial(const torch::Tensor& result, const Choice& choice, std::int64_t step,
                            KeyedRandom& random, double* discriminator_loss);
  std::vector<torch::Tensor> Features(const torch::Tensor& pictures) const {
    const Autocast autocast(config_.precision);
    return network_->Features(pictures);
  }

  Adversary adversary_;
  const std::shared_ptr<nn::EfficientNetLite> network_;
  const StyleSet style_;
};

FaststyleStep::Choice FaststyleStep::ChoosePaintings(const torch::Tensor& photo_colors,
                                                     KeyedRandom& random) const {
  torch::NoGradGuard no_grad;
  // Half of the mean is taken out: hue matters more than how bright the photograph happens to be.
  const auto half_centred = [](const torch::Tensor& colors) {
    return colors - 0.5 * colors.mean(-1, true);
  };
  const auto& paintings = style_.paintings();
  const auto count = static_cast<std::int64_t>(paintings.size());
  Choice choice;
  choice.scale = static_cast<std::size_t>(
      random.Below(static_cast<std::int64_t>(paintings.front().scales.size())));
  for (std::int64_t i = 0; i < photo_colors.size(0); ++i) {
    const torch::Tensor photo = half_centred(photo_colors.narrow(0, i, 1));
    const torch::Tensor directions = Directions(random);
    const StyleSet::Painting* best = nullptr;
    double best_distance = 0;
    for (std::int64_t k = 0; k < std::min<std::int64_t>(count, kCandidates); ++k) {
      const StyleSet::Painting& candidate =
          paintings[count <= kCandidates ? k : random.Below(count)];
      const torch::Tensor colors =
          half_centred(DrawColors(candidate.colors, photo.size(2), random));
      const double distance = SlicedWasserstein(photo, colors, directions).item<double>();
      if (best == nullptr || distance < best_distance) {
        best = &candidate;
        best_distance = distance;
      }
    }
    choice.paintings.push_back(best);
  }
  return choice;
}

torch::Tensor FaststyleStep::StyleLoss(const std::vector<torch::Tensor>& grams,
                                       const Choice& choice) const {
  torch::Tensor loss = torch::zeros({});
  for (std::size_t layer = 0; layer < kFeatureLayers; ++layer) {
    std::vector<torch::Tensor> targets;
    for (const auto* painting : choice.paintings) {
      targets.push_back(painting->scales[choice.scale].grams[layer]);
    }
    loss = loss + GramDistance(grams[layer], torch::stack(targets)).mean();
  }
  return loss;
}

torch::Tensor FaststyleStep::ContentLoss(const std::vector<torch::Tensor>& result,
                                         const std::vector<torch::Tensor>& photo) const {
  return CosineDistance(result[4], photo[4]).mean() +
         kContentBlock4 * FeatureDistance(result[3], photo[3]).mean();
}

torch::Tensor FaststyleStep::PaintingCrops(const Choice& choice, int side,
                                           KeyedRandom& random) const {
  std::vector<torch::Tensor> crops;
  for (const auto* painting : choice.paintings) {
    const torch::Tensor& pixels = painting->scales[choice.scale].pixels;
    crops.push_back(pixels.narrow(0, random.Below(pixels.size(0) - side + 1), side)
                        .narrow(1, random.Below(pixels.size(1) - side + 1), side));
  }
  return kernels::PixelsToTensor(torch::stack(crops));
}

torch::Tensor FaststyleStep::Adversarial(const torch::Tensor& result, const Choice& choice,
                                         std::int64_t step, KeyedRandom& random,
                                         double* discriminator_loss) {
  const int side = static_cast<int>(std::min<std::int64_t>(kPatch, result.size(2)));
  const torch::Tensor fake = result.narrow(2, random.Below(result.size(2) - side + 1), side)
                                 .narrow(3, random.Below(result.size(3) - side + 1), side);
  const torch::Tensor real = PaintingCrops(choice, side, random);
  *discriminator_loss = adversary_.Learn(real, fake, step);
  return adversary_.GeneratorLoss(fake, real, step);
}

Losses FaststyleStep::Perceptual(const torch::Tensor& result, const torch::Tensor& photo,
                                 KeyedRandom& random, Choice* choice) const {
  const std::vector<torch::Tensor> result_features = Features(result);
  std::vector<torch::Tensor> photo_features;
  {
    torch::NoGradGuard no_grad;
    photo_features = Features(photo);
  }
  std::vector<torch::Tensor> grams;
  for (const torch::Tensor& features : result_features) {
    grams.push_back(Gram(features));
  }
  const std::int64_t stride = std::max<std::int64_t>(1, result.size(2) / kCloudSide);
  const std::int64_t top = random.Below(stride);
  const std::int64_t left = random.Below(stride);
  *choice = ChoosePaintings(ColorCloud(photo, stride, top, left), random);
  const torch::Tensor colors = ColorCloud(result, stride, top, left);
  const torch::Tensor palette = DrawColors(style_.colors(), colors.size(2), random);
  const FaststyleConfig& weight = config_.faststyle;
  return {{"color",
           weight.color_weight * SlicedWasserstein(colors, palette, Directions(random)).mean()},
          {"content", weight.content_weight * ContentLoss(result_features, photo_features)},
          {"style", weight.style_weight * StyleLoss(grams, *choice)}};
}

std::map<std::string, double> FaststyleStep::Run(const Batch& batch, std::int64_t step) {
  // The discriminator keeps its rate to the end.
  learner_.SetRateShare(Rate(step));
  learner_.ZeroGradients();
  double discriminator_loss = 0;
  std::map<std::string, double> values = AccumulateGradients(config_.accumulate, [&](int i) {
    KeyedRandom random(config_.seed, step, i, Purpose::kStyle);
    return LossesOf(PartOf(batch, i).content, step, random, &discriminator_loss);
  });
  values["discriminator"] = discriminator_loss;
  learner_.Step();
  average_.Update(step);
  return values;
}

Losses FaststyleStep::LossesOf(const torch::Tensor& content, std::int64_t step, KeyedRandom& random,
                               double* discriminator_loss) {
  const torch::Tensor result = Forward(*generator_, content, config_.precision);

  const std::int64_t jitter = std::min<std::int64_t>(kMaxJitter, content.size(2) / 8);
  const std::int64_t side = content.size(2) - jitter;
  const std::int64_t top = random.Below(jitter);
  const std::int64_t left = random.Below(jitter);
  const torch::Tensor y = result.narrow(2, top, side).narrow(3, left, side);
  const torch::Tensor x = content.narrow(2, top, side).narrow(3, left, side);

  Choice choice;
  const FaststyleConfig& weight = config_.faststyle;
  Losses losses = Perceptual(y, x, random, &choice);
  losses["luminance"] = weight.luminance_weight * LuminanceDistance(y, x).mean();
  losses["chroma"] = weight.chroma_weight * ChromaDistance(y, x).mean();
  losses["total_variation"] = weight.total_variation_weight * TotalVariation(result);
  losses["adversarial"] =
      weight.adversarial_weight * Adversarial(y, choice, step, random, discriminator_loss);
  return losses;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainStep>> MakeFaststyleStep(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  KeyedRandom random(config.seed, 0, 0, Purpose::kInit);
  ATELIER_ASSIGN_OR_RETURN(auto generator, MakePictureGenerator(config, MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(auto mean, MakePictureMean(config));
  ATELIER_ASSIGN_OR_RETURN(auto discriminator,
                           MakeDiscriminator(config.gan, /*in_channels=*/3, inputs.feature_weights,
                                             MakeRandom(random.Next())));
  ATELIER_ASSIGN_OR_RETURN(auto network, models::LoadEfficientNetLite(0, inputs.feature_weights));
  ATELIER_ASSIGN_OR_RETURN(
      StyleSet set,
      StyleSet::Make(*inputs.style,
                     {config.image_size, std::max(config.image_size, config.faststyle.style_size)},
                     *network));
  return std::make_unique<FaststyleStep>(config, std::move(generator), std::move(mean),
                                         discriminator, std::move(network), std::move(set));
}

}  // namespace atelier::train
