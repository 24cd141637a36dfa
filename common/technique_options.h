// The option messages of TrainSpec that are about how training is done rather than about a family:
// evaluate, resample, losses, generator_options; used by train_options.cc only.
#pragma once

#include "absl/status/status.h"
#include "common/family.h"
#include "common/train_config.h"
#include "nlohmann/json.hpp"

namespace atelier {

// Each reads one message. INVALID_ARGUMENT naming the field.
absl::Status ReadEvaluate(const nlohmann::json& object, TrainConfig& train);
absl::Status ReadResample(const nlohmann::json& object, TrainConfig& train);
absl::Status ReadLosses(const nlohmann::json& object, TrainConfig& train);
absl::Status ReadGeneratorOptions(const nlohmann::json& object, TrainConfig& train);

// What contradicts each other in these, and in them and the rest. INVALID_ARGUMENT naming the field
// to change.
absl::Status CheckTechniques(const Family& family, const TrainConfig& config);

}  // namespace atelier
