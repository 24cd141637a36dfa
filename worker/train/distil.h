// What the compressions "distil" and "prune" do in a step: a smaller generator learns to make what
// a trained one, its source, makes.
//
// With x a photograph, S the source, G what learns and f the EfficientNet-Lite0 features:
//
//   pixels      pixel_weight L1(G(x), S(x))
//   perceptual  perceptual_weight PerceptualDistance(f(G(x)), f(S(x)))
//
// The source's pictures stand in for targets that nobody has (Li et al. 2020, arXiv:2003.08936,
// section 3.1), after the distillation of Hinton et al. 2015 (arXiv:1503.02531). For "distil" G
// starts afresh, for "prune" from what pruning left of S (worker/models/pruning.h).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// Errors of ReadSourceModel, besides.
absl::StatusOr<std::unique_ptr<TrainStep>> MakeDistilStep(const StepInputs& inputs);
absl::StatusOr<std::unique_ptr<TrainStep>> MakePruneStep(const StepInputs& inputs);

}  // namespace atelier::train
