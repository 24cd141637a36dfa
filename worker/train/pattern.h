// The families that make patterns from noise: "dcgan" (Radford et al. 2015, arXiv:1511.06434),
// "wgan" (Arjovsky et al. 2017, arXiv:1701.07875, with clipping; Gulrajani et al. 2017,
// arXiv:1704.00028, with a penalty) and "cgan", which is told a label (Mirza and Osindero 2014,
// arXiv:1411.1784) or the words of a caption.
//
// They are one step with other defaults. With z standard normal noise and c the label, if any:
// gan.steps times the discriminator learns real pictures from G(z, c), each time fresh ones; then
// the generator learns from
//
//   adversarial   GeneratorLoss(D(G(z, c)))
//   mode_seeking  mode_seeking_weight ModeSeeking of two batches, their noise z and z'
//
// The labels of generated pictures are those of the real ones beside them.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"

namespace atelier::train {

// FAILED_PRECONDITION: "cgan" with a content set of fewer than two labels, or more than 1000.
absl::StatusOr<std::unique_ptr<TrainStep>> MakePatternStep(const StepInputs& inputs);

}  // namespace atelier::train
