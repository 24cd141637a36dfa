// The family "cut": one generator that learns from unpaired pictures, one direction only (Park et
// al. 2020, arXiv:2007.15651; with the defaults of "fast" their FastCUT).
//
// With x a content picture, y a style picture, y' = G(x), and h the projected features of the
// generator's encoder at `layers`:
//
//   adversarial   GeneratorLoss(D(y'))
//   nce           nce_weight PatchNce(h(y'), h(x))          halved with `identity`, which adds
//   nce_identity  nce_weight PatchNce(h(G(y)), h(y)) / 2
//
// With flip_equivariance x is mirrored in half of the steps, and h(y') mirrored back. The
// discriminator learns first.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// INVALID_ARGUMENT: the generator has no such layers.
absl::StatusOr<std::unique_ptr<TrainStep>> MakeCutStep(const StepInputs& inputs);

}  // namespace atelier::train
