// Pretrained starts: weights of other trainings in place of random ones. Adam's moments, the
// schedule and everything else begin afresh.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/train/train_step.h"
#include "worker/train/trainer.h"

namespace atelier::train {

// Copies what fits, by name and shape, and leaves the rest as it is.
//
// job.init_directory is a model's folder or a file (safetensors, or torch.save's in either layout),
// whose weights go into the generator and the running mean of its weights; or a checkpoint's
// folder, step-N, whose networks all go into those that do the same here: of equal names, or where
// only one side counts them ("generator_a", "discriminator_a") the first.
// job.init_discriminator is a file or a checkpoint's folder for the discriminators; a file goes
// into the first, which judges what the result makes.
//
// Returns a sentence a network: how many tensors were taken over, and the names that are missing,
// of another shape or superfluous. FAILED_PRECONDITION: not one tensor fits the generator (or, for
// job.init_discriminator, the discriminator), or the step has no discriminator; DATA_LOSS: a
// damaged checkpoint or file; INVALID_ARGUMENT: an unknown format, or an int8 model; NOT_FOUND.
absl::StatusOr<std::vector<std::string>> StartFromWeights(const TrainJob& job, TrainStep& step);

}  // namespace atelier::train
