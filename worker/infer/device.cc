#include "worker/infer/device.h"

#include <dlfcn.h>
#include <torch/cuda.h>

#include <charconv>
#include <string>

#include "worker/infer/device_choice.h"

namespace atelier::infer {
namespace {

constexpr std::string_view kCuda = "cuda:";

// The library registers its kernels with LibTorch when it is loaded and stays for the process's
// life.
bool LoadCudaLibraries() {
  static const bool loaded = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr;
  return loaded;
}

}  // namespace

absl::StatusOr<c10::Device> OpenDevice(std::string_view name) {
  if (name == "cpu") {
    return c10::Device(c10::kCPU);
  }
  int index = -1;
  const char* const end = name.data() + name.size();
  if (!name.starts_with(kCuda) ||
      std::from_chars(name.data() + kCuda.size(), end, index).ptr != end || index < 0 ||
      index > 127) {
    return absl::InvalidArgumentError("A device is \"cpu\" or \"cuda:N\", not \"" +
                                      std::string(name) + "\".");
  }
  if (!LoadCudaLibraries()) {
    return absl::FailedPreconditionError(
        "LibTorch's CUDA libraries are not installed; run scripts/install-deps --cuda.");
  }
  if (!torch::cuda::is_available() || index >= static_cast<int>(torch::cuda::device_count())) {
    return absl::FailedPreconditionError("This machine has no usable device \"" +
                                         std::string(name) + "\".");
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

std::string ResolveDevice(std::string_view choice) {
  const std::string first = std::string(kCuda) + "0";
  if (choice == "auto") {
    return OpenDevice(first).ok() ? first : "cpu";
  }
  return choice == "cuda" ? first : std::string(choice);
}

}  // namespace atelier::infer
