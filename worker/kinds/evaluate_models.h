// "evaluate": models are measured on pictures.
#pragma once

#include <atomic>
#include <filesystem>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model_jobs.h"
#include "worker/kinds/job_place.h"
#include "worker/train/trainer.h"

namespace atelier::kinds {

struct EvaluateJob {
  EvaluateJobConfig config;
  JobPlace place;
  std::vector<std::filesystem::path> models;  // the folders of config.models, in their order
  std::filesystem::path content_directory;
  std::filesystem::path style_directory;  // empty: none
};

// The file in the attempt's folder with the numbers and how they were taken.
inline constexpr char kEvaluationFile[] = "evaluation.json";

// Measures one model after the other; each is a step. The numbers go to Progress::metrics,
// stats.jsonl and kEvaluationFile, a grid of results to the observer and samples/. An attempt
// begins at the first model. kStopped: `stop` was set. FAILED_PRECONDITION: too few readable
// pictures for a metric, results that are not finite, or models that no choice of pictures fits
// alike (one makes patterns and another does not, or of another size); INVALID_ARGUMENT: those of
// CheckMeasurable; errors of LoadModelMaker.
absl::StatusOr<train::Outcome> EvaluateModels(const EvaluateJob& job, train::Observer& observer,
                                              const std::atomic<bool>& stop);

}  // namespace atelier::kinds
