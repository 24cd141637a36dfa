// Measures a model, and the one that it is to follow, on the same pictures. Not thread-safe for one
// folder.
#pragma once

#include <filesystem>

#include "absl/status/status.h"
#include "common/convert_task.h"

namespace atelier::convert {

// Writes folder/kConvertNumbers: the metrics of train::Evaluation, the same that training and
// atelier-eval compute, of task.pictures pictures that the seed chooses from each set. Equal tasks
// give equal numbers on one machine.
//
// `feature_weights`: EfficientNet-Lite0 (.pth); EfficientNet-Lite1, the judge, lies beside it.
// FAILED_PRECONDITION: too few readable pictures for a metric, a model that takes its style from
// the request, or one of each kind (pictures and patterns); errors of infer::LoadModel.
absl::Status JudgeModels(const JudgeTask& task, const std::filesystem::path& folder,
                         const std::filesystem::path& feature_weights);

}  // namespace atelier::convert
