// Names of the devices that workers compute on. Pure functions, thread-safe.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "common/train_config.h"

namespace atelier {

// "cpu" or "cuda:N", N from 0 to 127.
bool IsDevice(std::string_view name);

// A device, or "cuda" for the first GPU, or "auto" for that where there is one and else the CPU.
bool IsDeviceChoice(std::string_view name);

// Whether a job can be trained on `device`, of IsDeviceChoice. INVALID_ARGUMENT naming
// train.precision (or that of the job's kind): fp16 on a CPU. With "auto" only the trainer can
// tell, which asks again.
absl::Status CheckTrainDevice(const TrainConfig& config, std::string_view device);

}  // namespace atelier
