// The model card of what a training made, in Markdown: what it is and is meant for, data with their
// licences, settings, numbers, and where it comes from. What people say of its pictures is no part
// of the file: the server keeps ratings and shows them with the card.
#pragma once

#include <string>

#include "common/model_spec.h"
#include "worker/train/result.h"
#include "worker/train/trainer.h"

namespace atelier::train {

// Reads dataset.json of the job's data sets (common/dataset_origin.h).
std::string TrainingCard(const TrainJob& job, const ResultInfo& info, const ModelSpec& spec);

}  // namespace atelier::train
