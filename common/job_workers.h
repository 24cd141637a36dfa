// How many processes may train a job together.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "common/train_config.h"

namespace atelier {

inline constexpr int kMaxJobWorkers = 8;  // that a server starts

// INVALID_ARGUMENT naming the field: with several workers the batch must divide by them, and what
// looks at a whole batch in a way that no sum over them gives is refused. `workers`: 1 or more.
absl::Status CheckWorkers(const TrainConfig& config, std::int64_t workers);

}  // namespace atelier
