// What this machine has.
#pragma once

#include <cstdint>

namespace atelier::worker {

// The machine's main memory. Unit: bytes.
std::uint64_t MachineMemoryBytes();

}  // namespace atelier::worker
