// Names of devices.
#pragma once

#include <c10/core/Device.h>

#include <string_view>

#include "absl/status/statusor.h"

namespace atelier::infer {

// "cpu" or "cuda:N". The first CUDA device asked for loads LibTorch's CUDA libraries, which a
// CPU-only process never touches. INVALID_ARGUMENT: another name; FAILED_PRECONDITION: the
// libraries or the device are not there. Thread-safe.
absl::StatusOr<c10::Device> OpenDevice(std::string_view name);

}  // namespace atelier::infer
