// The losses of the families that learn a painter's hand feed-forward: faststyle, and multistyle,
// which learns several. A generator is trained on what a frozen classifier sees (Johnson et al.
// 2016, arXiv:1603.08155), against a discriminator that has seen the paintings (Goodfellow et al.
// 2014; patches as in Isola et al. 2017).
//
// With y the result of a photograph x, p a painting of the set, and f the EfficientNet-Lite0
// features of the stem and of blocks 0, 2, 4, 10, all but the total variation over one randomly
// shifted crop of x and y (the shift keeps the network's strides from printing a grid into flat
// areas):
//
//   style            sum over the five layers of GramDistance(f(y), f(p)), p at one of two scales
//   content          ContentDistance between f(y) and f(x)
//   color            SlicedWasserstein of the palettes of y and of the whole set
//   luminance        LuminanceDistance(y, x)
//   chroma           ChromaDistance(y, x)
//   total_variation  TotalVariation(y)
//   adversarial      least squares, a crop of y against a crop of p
//
// Each is multiplied by its weight of FaststyleConfig; losses.h defines the functions. The painting
// p of a photograph is the one whose palette is nearest to the photograph's: a picture learns from
// a painting that suits it, and the palettes of the set do not blur into their mean.
//
// A photograph that aims at labels learns from one painting of each: the style loss takes the mean
// of their Gram matrices and the palette as many colours of each label as its share tells, so that
// equal steps between two styles are equal steps of the pictures. The crop p of the adversarial
// loss is of one of them, drawn by the shares.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/train_config.h"
#include "worker/nn/discriminator.h"
#include "worker/nn/efficientnet_lite.h"
#include "worker/train/adversary.h"
#include "worker/train/gradients.h"
#include "worker/train/random.h"
#include "worker/train/style_set.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// What a photograph is to become: labels of the style set and their shares, which are above 0 and
// sum to 1; empty: the set as a whole.
using Aim = std::vector<std::pair<std::int64_t, double>>;

// Not thread-safe.
class PaintingLosses {
 public:
  PaintingLosses(const TrainConfig& config, const std::shared_ptr<nn::Discriminator>& discriminator,
                 std::shared_ptr<nn::EfficientNetLite> network, StyleSet style);
  PaintingLosses(const PaintingLosses&) = delete;
  PaintingLosses& operator=(const PaintingLosses&) = delete;

  // The losses of `result`, which a generator made of `content`: [N, 3, S, S] each, with an aim a
  // photograph. Teaches the discriminator and leaves its loss in `discriminator_loss`. `samples`
  // key the draws, each photograph's its own.
  Losses Of(const torch::Tensor& result, const torch::Tensor& content, const std::vector<Aim>& aims,
            const SampleRange& samples, double* discriminator_loss);

  // What a checkpoint keeps.
  Saved& saved() { return adversary_; }

 private:
  using Painting = StyleSet::Painting;
  using Paintings = std::vector<const Painting*>;
  // A stream a photograph, keyed by (seed, sample, 0, kStyle).
  using Randoms = std::vector<KeyedRandom>;
  // The paintings that a photograph learns from, with their shares, and at which scale.
  struct Choice {
    std::vector<std::pair<const Painting*, double>> paintings;
    std::size_t scale = 0;
  };
  using Choices = std::vector<Choice>;  // one a photograph

  Choices ChoosePaintings(const torch::Tensor& photo_colors, const std::vector<Aim>& aims,
                          Randoms& randoms) const;
  const Painting* Nearest(const torch::Tensor& photo_colors, const Paintings& paintings,
                          KeyedRandom& random) const;
  torch::Tensor StyleLoss(const std::vector<torch::Tensor>& grams, const Choices& choices) const;
  torch::Tensor PaletteOf(const Aim& aim, std::int64_t count, KeyedRandom& random) const;
  torch::Tensor PaintingCrops(const Choices& choices, int side, Randoms& randoms) const;
  Losses Perceptual(const torch::Tensor& result, const torch::Tensor& photo,
                    const std::vector<Aim>& aims, Randoms& randoms, Choices* choices) const;
  torch::Tensor Adversarial(const torch::Tensor& result, const Choices& choices,
                            const SampleRange& samples, Randoms& randoms,
                            double* discriminator_loss);
  std::vector<torch::Tensor> Features(const torch::Tensor& pictures) const;

  const TrainConfig config_;
  Adversary adversary_;
  const std::shared_ptr<nn::EfficientNetLite> network_;
  const StyleSet style_;
  Paintings all_;
  std::vector<Paintings> of_label_;
  std::vector<torch::Tensor> colors_of_label_;  // [3, M]
};

// What PaintingLosses is made from: the network, and the paintings at the scales of the job.
// DATA_LOSS, NOT_FOUND: the feature network's file is damaged or missing, a picture has vanished.
struct PaintingInputs {
  std::shared_ptr<nn::EfficientNetLite> network;
  StyleSet style;
};
absl::StatusOr<PaintingInputs> ReadPaintings(const StepInputs& inputs);

// CosineDistance on block 10 + 0.075 FeatureDistance on block 4 of Features, mean over the
// pictures, scalar: what a photograph shows stays, whatever it is painted with.
torch::Tensor ContentDistance(const std::vector<torch::Tensor>& result,
                              const std::vector<torch::Tensor>& photo);

}  // namespace atelier::train
