// Options that a job names and that would change nothing in it, or would undo each other: refused,
// so that nobody takes a training for another than it is. Defaults are never at fault, only what
// the job said itself. Used by train_config.cc only.
#pragma once

#include "absl/status/status.h"
#include "common/family.h"
#include "common/train_config.h"
#include "nlohmann/json.hpp"

namespace atelier {

// `spec`: the TrainSpec as the job has it; `config`: what was read of it. INVALID_ARGUMENT naming
// the option, why it means nothing and what is allowed.
absl::Status CheckIdleOptions(const nlohmann::json& spec, const Family& family,
                              const TrainConfig& config);

}  // namespace atelier
