// The family "cyclegan": two generators and two discriminators that learn from unpaired pictures
// (Zhu et al. 2017, arXiv:1703.10593).
//
// With A the content set, B the style set, G: A → B, F: B → A, and L1 the mean absolute difference:
//
//   adversarial_b  GeneratorLoss(D_B(G(a)))          adversarial_a  GeneratorLoss(D_A(F(b)))
//   cycle_a        cycle_weight L1(F(G(a)), a)       cycle_b        cycle_weight L1(G(F(b)), b)
//   identity_b     cycle_weight identity_weight L1(G(b), b), and identity_a likewise with F and a
//
// The discriminators then learn from the pictures that the generators made in this step, mixed with
// earlier ones. The result is G (its running mean with ema_decay).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

absl::StatusOr<std::unique_ptr<TrainStep>> MakeCycleganStep(const StepInputs& inputs);

}  // namespace atelier::train
