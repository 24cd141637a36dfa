// Which picture of a data set becomes which of the restyled one.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model_jobs.h"

namespace atelier::kinds {

// A function of the file names and the job alone, so that every attempt finds what others made.
struct SetPlan {
  std::vector<std::filesystem::path> inputs;  // below the data set's folder, sorted
  // For each model the paths of its results below the new set's folder, in the order of `inputs`.
  std::vector<std::vector<std::filesystem::path>> outputs;
};

// FAILED_PRECONDITION: no picture in it, or results of more than kMaxSetPictures.
absl::StatusOr<SetPlan> PlanSet(const std::filesystem::path& directory,
                                const StylizeSetConfig& config);

}  // namespace atelier::kinds
