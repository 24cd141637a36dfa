// What a job must be like before it begins that only its opened data sets tell: nothing is
// enlarged unasked, pairs are pairs, a warm-up comes to an end. Pure functions.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "common/train_config.h"
#include "worker/train/batch.h"
#include "worker/train/datasets.h"
#include "worker/train/trainer.h"

namespace atelier::train {

// INVALID_ARGUMENT naming the set's field, how many pictures are at fault, the first of their files
// and what to do: pictures below the crop of image_size (with kSideBySide either half of one),
// unless data.upscale allows them; with kSideBySide pictures that are not two squares side by side.
absl::Status CheckPictures(const TrainJob& job, BatchKind kind, const Datasets& sets);

// The length of a job whose content set has so many pictures: its steps, or those of its epochs.
std::int64_t StepsOf(const TrainConfig& config, std::int64_t pictures);

// INVALID_ARGUMENT: a warm-up, unless it is the family's own, that lasts as long as the job's
// epochs or longer. (A length in steps is checked with the rest of the options.)
absl::Status CheckWarmup(const TrainConfig& config, std::int64_t pictures);

}  // namespace atelier::train
