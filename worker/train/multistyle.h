// The family "multistyle": one generator for many styles, which are the folders of the style set
// (Dumoulin et al. 2017, arXiv:1610.07629), with the losses of painting_losses.h.
//
// Each photograph of a batch is taught one style, drawn evenly, or with the probability
// MultistyleConfig::mix_share a mixture of two, in shares that are drawn evenly: the generator is
// run with these shares and the losses aim at the same mixture of the two folders. Mixed scales
// and shifts therefore make mixed pictures, and not only by the luck of interpolation. The draw is
// keyed by the sample. The result is the running mean of the generator's weights.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// FAILED_PRECONDITION: the style set has no folders that could be labels.
absl::StatusOr<std::unique_ptr<TrainStep>> MakeMultistyleStep(const StepInputs& inputs);

}  // namespace atelier::train
