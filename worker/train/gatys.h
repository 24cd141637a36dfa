// The family "gatys": no network is trained, the pictures of the content set are optimised
// themselves (Gatys, Ecker and Bethge 2015, arXiv:1508.06576), by Adam (Kingma and Ba 2015,
// arXiv:1412.6980) on a pyramid (worker/nn/picture_pyramid.h) instead of the paper's L-BFGS on
// pixels, whose line search would make a step's cost unknown. worker/nn/gatys_target.h has the
// losses; the targets are the mean Gram matrices of the style set (one picture in it is the paper's
// case).
//
// The pictures are centre crops of image_size and start as the photographs. A step is an iteration
// of the next batch_size of them in the set's order, one by one: a picture's bits do not depend on
// the others. The result is the target with its settings, by which infer::Stylizer optimises the
// picture of a request; the pictures themselves are in the samples and in the preview.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// FAILED_PRECONDITION: more than 16 pictures in the content set. INVALID_ARGUMENT naming
// train.batch_size: more than there are pictures.
absl::StatusOr<std::unique_ptr<TrainStep>> MakeGatysStep(const StepInputs& inputs);

}  // namespace atelier::train
