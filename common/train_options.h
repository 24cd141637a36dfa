// The nested option messages of TrainSpec; used by train_config.cc only.
#pragma once

#include "absl/status/status.h"
#include "common/family.h"
#include "common/json_reader.h"
#include "common/train_config.h"

namespace atelier {

// Takes the option messages out of `reader`, the reader of the whole TrainSpec. INVALID_ARGUMENT:
// options of another family, a bad field in one.
absl::Status ReadTrainOptions(ObjectReader& reader, const Family& family, TrainConfig& config);

// What contradicts each other. INVALID_ARGUMENT naming the field to change.
absl::Status CheckTrainOptions(const Family& family, const TrainConfig& config);

}  // namespace atelier
