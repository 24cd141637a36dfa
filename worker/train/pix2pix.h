// The family "pix2pix": a generator that learns from pairs of pictures (Isola et al. 2017,
// arXiv:1611.07004).
//
// With x the input, y the target and [a, b] their channels side by side:
//
//   adversarial  GeneratorLoss(D([x, G(x)]))        l1  l1_weight L1(G(x), y)
//
// The discriminator learns first, from [x, y] against [x, G(x)].
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

absl::StatusOr<std::unique_ptr<TrainStep>> MakePix2pixStep(const StepInputs& inputs);

}  // namespace atelier::train
