// The family "reference": a generator that takes the style from a second picture, adaptive instance
// normalisation with a style encoder of its own (Huang and Belongie 2017, arXiv:1703.06868),
// trained against a discriminator that sees the style set (Goodfellow et al. 2014; patches as in
// Isola et al. 2017).
//
// With s a picture of the style set that was drawn for the photograph x, y the result in its style,
// and f the EfficientNet-Lite0 features of the stem and of blocks 0, 2, 4, 10:
//
//   style            StatisticsDistance(f(y), f(s)) (image_losses.h; the paper's equation 13)
//   content          ContentDistance of f(y) and f(x) (painting_losses.h), instead of the paper's
//   distance to its AdaIN features: ours has no decoder that could start from them
//   total_variation  TotalVariation(y)
//   adversarial      y against s, by GanConfig
//
// each times its weight of ReferenceConfig, the last one times GanConfig::weight. The result is the
// running mean of the generator's weights.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

absl::StatusOr<std::unique_ptr<TrainStep>> MakeReferenceStep(const StepInputs& inputs);

}  // namespace atelier::train
