#include "worker/train/painting_losses.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/kernels/pixels.h"
#include "worker/train/autocast.h"
#include "worker/train/learner.h"
#include "worker/train/losses.h"

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
torch::Tensor ColorDirections(KeyedRandom& random) {
  const torch::Tensor drawn =
      torch::randn({kDirections - 3, 3}, MakeRandom(random.Next()), torch::kFloat32);
  return torch::cat({torch::eye(3), drawn / drawn.norm(2, 1, true)});
}

// Where a window begins in each picture, rows and columns below `range`.
using Corners = std::vector<std::pair<std::int64_t, std::int64_t>>;

Corners DrawCorners(std::int64_t range, std::vector<KeyedRandom>& randoms) {
  Corners corners;
  for (KeyedRandom& random : randoms) {
    const std::int64_t top = random.Below(range);
    corners.emplace_back(top, random.Below(range));
  }
  return corners;
}

// [N, C, H, W] → [N, C, side, side].
torch::Tensor Windows(const torch::Tensor& pictures, const Corners& corners, std::int64_t side) {
  std::vector<torch::Tensor> windows;
  for (std::size_t i = 0; i < corners.size(); ++i) {
    windows.push_back(pictures.narrow(0, static_cast<std::int64_t>(i), 1)
                          .narrow(2, corners[i].first, side)
                          .narrow(3, corners[i].second, side));
  }
  return torch::cat(windows);
}

// Half of the mean is taken out: hue matters more than how bright the photograph happens to be.
torch::Tensor HalfCentred(const torch::Tensor& colors) {
  return colors - 0.5 * colors.mean(-1, true);
}

}  // namespace

PaintingLosses::PaintingLosses(const TrainConfig& config,
                               const std::shared_ptr<nn::Discriminator>& discriminator,
                               std::shared_ptr<nn::EfficientNetLite> network, StyleSet style)
    : config_(config),
      adversary_("discriminator", 0, config, discriminator),
      network_(std::move(network)),
      style_(std::move(style)) {
  std::vector<std::vector<torch::Tensor>> palettes;
  for (const Painting& painting : style_.paintings()) {
    const auto label = static_cast<std::size_t>(painting.label);
    if (of_label_.size() <= label) {
      of_label_.resize(label + 1);
      palettes.resize(label + 1);
    }
    all_.push_back(&painting);
    of_label_[label].push_back(&painting);
    palettes[label].push_back(painting.colors);
  }
  for (const std::vector<torch::Tensor>& palette : palettes) {
    colors_of_label_.push_back(torch::cat(palette, 1));
  }
}

std::vector<torch::Tensor> PaintingLosses::Features(const torch::Tensor& pictures) const {
  const Autocast autocast(config_.precision, pictures.device());
  return network_->Features(pictures);
}

const StyleSet::Painting* PaintingLosses::Nearest(const torch::Tensor& photo_colors,
                                                  const Paintings& paintings,
                                                  KeyedRandom& random) const {
  const auto count = static_cast<std::int64_t>(paintings.size());
  const torch::Tensor directions = ColorDirections(random);
  const Painting* best = nullptr;
  double best_distance = 0;
  for (std::int64_t k = 0; k < std::min<std::int64_t>(count, kCandidates); ++k) {
    const Painting* candidate = paintings[count <= kCandidates ? k : random.Below(count)];
    const torch::Tensor colors =
        HalfCentred(DrawColors(candidate->colors, photo_colors.size(2), random));
    const double distance = SlicedWasserstein(photo_colors, colors, directions).item<double>();
    if (best == nullptr || distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

PaintingLosses::Choices PaintingLosses::ChoosePaintings(const torch::Tensor& photo_colors,
                                                        const std::vector<Aim>& aims,
                                                        Randoms& randoms) const {
  torch::NoGradGuard no_grad;
  Choices choices(aims.size());
  for (std::size_t i = 0; i < aims.size(); ++i) {
    KeyedRandom& random = randoms[i];
    choices[i].scale = static_cast<std::size_t>(
        random.Below(static_cast<std::int64_t>(all_.front()->scales.size())));
    const torch::Tensor photo =
        HalfCentred(photo_colors.narrow(0, static_cast<std::int64_t>(i), 1));
    auto& chosen = choices[i].paintings;
    if (aims[i].empty()) {
      chosen.emplace_back(Nearest(photo, all_, random), 1.0);
    }
    for (const auto& [label, share] : aims[i]) {
      chosen.emplace_back(Nearest(photo, of_label_.at(static_cast<std::size_t>(label)), random),
                          share);
    }
  }
  return choices;
}

torch::Tensor PaintingLosses::StyleLoss(const std::vector<torch::Tensor>& grams,
                                        const Choices& choices) const {
  torch::Tensor loss = torch::zeros({});
  for (std::size_t layer = 0; layer < kFeatureLayers; ++layer) {
    std::vector<torch::Tensor> targets;
    for (const Choice& choice : choices) {
      torch::Tensor target;
      for (const auto& [painting, share] : choice.paintings) {
        const torch::Tensor part = share * painting->scales[choice.scale].grams[layer];
        target = target.defined() ? target + part : part;
      }
      targets.push_back(target);
    }
    loss = loss + GramDistance(grams[layer], torch::stack(targets)).mean();
  }
  return loss;
}

// `count` colours that a result is to have: [1, 3, count].
torch::Tensor PaintingLosses::PaletteOf(const Aim& aim, std::int64_t count,
                                        KeyedRandom& random) const {
  if (aim.empty()) {
    return DrawColors(style_.colors(), count, random);
  }
  std::vector<torch::Tensor> parts;
  std::int64_t left = count;
  for (std::size_t i = 0; i < aim.size(); ++i) {
    const auto& [label, share] = aim[i];
    const std::int64_t part =
        i + 1 == aim.size()
            ? left
            : std::min<std::int64_t>(left, std::llround(share * static_cast<double>(count)));
    parts.push_back(DrawColors(colors_of_label_.at(static_cast<std::size_t>(label)), part, random));
    left -= part;
  }
  return torch::cat(parts, 2);
}

torch::Tensor PaintingLosses::PaintingCrops(const Choices& choices, int side,
                                            Randoms& randoms) const {
  std::vector<torch::Tensor> crops;
  for (std::size_t k = 0; k < choices.size(); ++k) {
    const auto& paintings = choices[k].paintings;
    KeyedRandom& random = randoms[k];
    const Painting* painting = paintings.back().first;
    double left = paintings.size() > 1 ? random.Uniform() : 1.0;
    for (std::size_t i = 0; i + 1 < paintings.size() && left >= 0; ++i) {
      left -= paintings[i].second;
      painting = left < 0 ? paintings[i].first : painting;
    }
    const torch::Tensor& pixels = painting->scales[choices[k].scale].pixels;
    crops.push_back(pixels.narrow(0, random.Below(pixels.size(0) - side + 1), side)
                        .narrow(1, random.Below(pixels.size(1) - side + 1), side));
  }
  return kernels::PixelsToTensor(torch::stack(crops));
}

torch::Tensor PaintingLosses::Adversarial(const torch::Tensor& result, const Choices& choices,
                                          const SampleRange& samples, Randoms& randoms,
                                          double* discriminator_loss) {
  const int side = static_cast<int>(std::min<std::int64_t>(kPatch, result.size(2)));
  const torch::Tensor fake = Windows(result, DrawCorners(result.size(2) - side + 1, randoms), side);
  const torch::Tensor real = PaintingCrops(choices, side, randoms).to(result.device());
  *discriminator_loss = adversary_.LearnPart(real, {fake}, samples);
  return adversary_.GeneratorLoss(fake, real, samples);
}

Losses PaintingLosses::Perceptual(const torch::Tensor& result, const torch::Tensor& photo,
                                  const std::vector<Aim>& aims, Randoms& randoms,
                                  Choices* choices) const {
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
  const Corners corners = DrawCorners(stride, randoms);
  // As many pixels from every corner.
  const std::int64_t side = (result.size(2) / stride - 1) * stride + 1;
  const auto cloud = [&](const torch::Tensor& pictures) {
    return ColorCloud(Windows(pictures, corners, side), stride, 0, 0);
  };
  // On the CPU, where the paintings' colours are: sixteen small comparisons a photograph, each of
  // which a GPU would have to be waited for.
  *choices = ChoosePaintings(cloud(photo).cpu(), aims, randoms);
  const torch::Tensor colors = cloud(result);
  std::vector<torch::Tensor> palettes;
  std::vector<torch::Tensor> directions;
  for (std::size_t i = 0; i < aims.size(); ++i) {
    palettes.push_back(PaletteOf(aims[i], colors.size(2), randoms[i]));
    directions.push_back(ColorDirections(randoms[i]));
  }
  const torch::Tensor distance = SlicedWasserstein(colors, torch::cat(palettes).to(colors.device()),
                                                   torch::stack(directions).to(colors.device()));
  const FaststyleConfig& weight = config_.faststyle;
  return {{"color", weight.color_weight * distance.mean()},
          {"content", weight.content_weight * ContentDistance(result_features, photo_features)},
          {"style", weight.style_weight * StyleLoss(grams, *choices)}};
}

Losses PaintingLosses::Of(const torch::Tensor& result, const torch::Tensor& content,
                          const std::vector<Aim>& aims, const SampleRange& samples,
                          double* discriminator_loss) {
  ATELIER_CHECK(std::cmp_equal(aims.size(), content.size(0)));
  const std::int64_t jitter = std::min<std::int64_t>(kMaxJitter, content.size(2) / 8);
  const std::int64_t side = content.size(2) - jitter;
  Randoms randoms =
      KeyedRandoms(config_.seed, samples, content.size(0), /*draw=*/0, Purpose::kStyle);
  const Corners corners = DrawCorners(jitter, randoms);
  const torch::Tensor y = Windows(result, corners, side);
  const torch::Tensor x = Windows(content, corners, side);

  Choices choices;
  const FaststyleConfig& weight = config_.faststyle;
  Losses losses = Perceptual(y, x, aims, randoms, &choices);
  losses["luminance"] = weight.luminance_weight * LuminanceDistance(y, x).mean();
  losses["chroma"] = weight.chroma_weight * ChromaDistance(y, x).mean();
  losses["total_variation"] = weight.total_variation_weight * TotalVariation(result);
  losses["adversarial"] =
      weight.adversarial_weight * Adversarial(y, choices, samples, randoms, discriminator_loss);
  return losses;
}

absl::StatusOr<PaintingInputs> ReadPaintings(const StepInputs& inputs) {
  const TrainConfig& config = inputs.config;
  ATELIER_ASSIGN_OR_RETURN(auto network, inputs.LoadFeatureNetwork());
  ATELIER_ASSIGN_OR_RETURN(
      StyleSet set,
      StyleSet::Make(*inputs.style,
                     {config.image_size, std::max(config.image_size, config.faststyle.style_size)},
                     *network));
  return PaintingInputs{.network = std::move(network), .style = std::move(set)};
}

torch::Tensor ContentDistance(const std::vector<torch::Tensor>& result,
                              const std::vector<torch::Tensor>& photo) {
  return CosineDistance(result[4], photo[4]).mean() +
         kContentBlock4 * FeatureDistance(result[3], photo[3]).mean();
}

}  // namespace atelier::train
