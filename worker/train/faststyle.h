// The family "faststyle": a feed-forward generator trained on what a frozen classifier sees
// (Johnson et al. 2016, arXiv:1603.08155), against a discriminator that has seen the paintings
// (Goodfellow et al. 2014; patches as in Isola et al. 2017).
//
// With y = G(x), x a photograph, p a painting of the set, and f the EfficientNet-Lite0 features of
// the stem and of blocks 0, 2, 4, 10, all but the total variation over one randomly shifted crop of
// x and y (the shift keeps the network's strides from printing a grid into flat areas):
//
//   style            sum over the five layers of GramDistance(f(y), f(p)), at one of two scales of
//   p a step content          CosineDistance on block 10 + 0.075 FeatureDistance on block 4,
//   between y and x color            SlicedWasserstein of the palettes of y and of the whole set
//   luminance        LuminanceDistance(y, x)
//   chroma           ChromaDistance(y, x)
//   total_variation  TotalVariation(y)
//   adversarial      least squares, a crop of y against a crop of p
//
// Each is multiplied by its weight of FaststyleConfig; losses.h defines the functions. The painting
// p of a photograph is the one whose palette is nearest to the photograph's: a picture learns from
// a painting that suits it, and the palettes of the set do not blur into their mean. The result is
// the running mean of the generator's weights.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

absl::StatusOr<std::unique_ptr<TrainStep>> MakeFaststyleStep(const StepInputs& inputs);

}  // namespace atelier::train
