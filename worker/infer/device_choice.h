// Which device a choice means on this machine. Free of LibTorch's headers.
#pragma once

#include <string>
#include <string_view>

namespace atelier::infer {

// A choice (IsDeviceChoice of common/device_name.h) as "cpu" or "cuda:N". "auto" loads LibTorch's
// CUDA libraries, where they are, to see whether there is a GPU; of a device that is named nothing
// is asked. Thread-safe.
std::string ResolveDevice(std::string_view choice);

}  // namespace atelier::infer
