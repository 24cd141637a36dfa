// "sweep": one training after the other, of which the best becomes the model.
#pragma once

#include <atomic>

#include "absl/status/statusor.h"
#include "common/sweep_config.h"
#include "worker/kinds/job_place.h"
#include "worker/train/trainer.h"

namespace atelier::kinds {

// The file in the attempt's folder with the cells and their numbers.
inline constexpr char kSweepFile[] = "sweep.json";

struct SweepJob {
  SweepConfig config;
  JobPlace place;
  // What all cells have in common: data sets, where to start from, where to compute. `config`,
  // `attempt_directory` and `resume_directory` are each cell's own.
  train::TrainJob base;
};

// Runs the cells that earlier attempts have not done, each from its newest checkpoint. Steps count
// over all cells. Progress::metrics has those of the present cell and "cell/N/METRIC" of those that
// are done; at the end those of the best, and "best_cell". A cell that cannot be trained
// (INVALID_ARGUMENT, FAILED_PRECONDITION) is out; other errors end the sweep. kFinished:
// attempt_directory/result holds the best cell's model. FAILED_PRECONDITION: every cell failed.
absl::StatusOr<train::Outcome> RunSweep(const SweepJob& job, train::Observer& observer,
                                        const std::atomic<bool>& stop);

}  // namespace atelier::kinds
