// The family "faststyle": a feed-forward generator trained on what a frozen classifier sees
// (Johnson et al. 2016, arXiv:1603.08155), with the losses of painting_losses.h. The result is the
// running mean of the generator's weights.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

absl::StatusOr<std::unique_ptr<TrainStep>> MakeFaststyleStep(const StepInputs& inputs);

}  // namespace atelier::train
