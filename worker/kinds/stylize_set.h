// "stylize_set": every picture of a data set, restyled by each of some models, as a new data set.
#pragma once

#include <atomic>
#include <filesystem>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model_jobs.h"
#include "worker/kinds/job_place.h"
#include "worker/train/trainer.h"

namespace atelier::kinds {

// Below an attempt's folder: where the new set grows. It keeps this name when it is whole, because
// a worker elsewhere would send every picture once more under another one (worker/files).
inline constexpr char kSetFolder[] = "pictures";

struct StylizeSetJob {
  StylizeSetConfig config;
  JobPlace place;
  std::filesystem::path directory;            // the data set's folder
  std::vector<std::filesystem::path> models;  // the folders of config.models, in their order
};

// A step is a picture with a model; the models come into memory one after the other. There are no
// checkpoints: a result is written whole or not at all, and those that this attempt's and earlier
// ones' folders hold are not made again. Observer::OnCheckpoint tells how many there are.
// kFinished: attempt_directory/kSetFolder is the folder of the new set; kStopped: `stop` was set.
// What cannot be read is left out and told as a warning. FAILED_PRECONDITION: more than half of the
// pictures are, or what PlanSet says; INVALID_ARGUMENT: CheckRestyles; RESOURCE_EXHAUSTED: disk or
// memory full; errors of infer::Stylizer.
absl::StatusOr<train::Outcome> StylizeSet(const StylizeSetJob& job, train::Observer& observer,
                                          const std::atomic<bool>& stop);

}  // namespace atelier::kinds
