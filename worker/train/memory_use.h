#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace atelier::train {

// What training on `device` takes: this process' resident memory where networks are on the CPU,
// what is allocated for tensors on a GPU; 0 where it is not known. Unit: bytes.
std::uint64_t MemoryInUse(const c10::Device& device);

}  // namespace atelier::train
