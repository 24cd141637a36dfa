// What the compression "quantize" does in a step: it watches the source, a trained generator,
// restyle a batch, and widens the ranges of what goes into each convolution that is to compute in
// int8 (worker/nn/quantized_convolution.h). Nothing is learnt: the weights are the source's,
// rounded.
//
// The only loss is "difference": the mean absolute difference between the pictures of the source
// and those of the int8 network with the ranges so far, of values 0 to 255.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// Errors of ReadSourceModel.
absl::StatusOr<std::unique_ptr<TrainStep>> MakeQuantizeStep(const StepInputs& inputs);

}  // namespace atelier::train
