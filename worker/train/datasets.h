// The data sets of a job: what is learnt from, and what is only looked at.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "worker/train/batch.h"
#include "worker/train/checkpoint.h"
#include "worker/train/image_folder.h"
#include "worker/train/trainer.h"

namespace atelier::train {

struct Datasets {
  ImageFolder content;               // to learn from
  std::optional<ImageFolder> style;  // nothing for a job that has no style set
  // What evaluation looks at: evaluate.held_out of the content set, chosen by the seed, which is
  // then no part of `content`; with a share of 0, and without evaluation, the whole of it.
  ImageFolder evaluation;
  bool held_out = false;
};

// FAILED_PRECONDITION: a data set without a single readable picture, or too small a one to hold a
// share of it back; RESOURCE_EXHAUSTED: too large a one.
absl::StatusOr<Datasets> OpenDatasets(const TrainJob& job, BatchKind kind);

// What a checkpoint remembers of them.
SetDigests DigestsOf(const Datasets& sets);

// FAILED_PRECONDITION naming the set and what to do: one of the sets of `config` has other pictures
// than `made_with` says. Nothing remembered (an older checkpoint) differs from nothing.
absl::Status CheckSameSets(const TrainConfig& config, const SetDigests& made_with,
                           const Datasets& sets);

}  // namespace atelier::train
