// The link's messages ↔ the plain structs of worker/train/trainer.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "atelier/internal/v1/worker_link.pb.h"
#include "worker/train/trainer.h"

namespace atelier::worker {

// Everything but `feature_weights` and `threads`. Errors: those of ParseTrainConfig;
// INVALID_ARGUMENT naming `train` when the spec has no training in it.
absl::StatusOr<train::TrainJob> ToTrainJob(const internal::v1::StartJob& message);

v1::JobProgress ToProgress(const train::Progress& progress);

// How a training run, or a job of another kind, ended: SUCCEEDED with `result`, the folder of what
// it made, STOPPED, or FAILED with code and sentence.
internal::v1::JobFinished ToFinished(const absl::StatusOr<train::Outcome>& outcome,
                                     const std::filesystem::path& result);

}  // namespace atelier::worker
