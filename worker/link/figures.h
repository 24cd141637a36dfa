// What this process and its machine use and have.
#pragma once

#include <cstdint>

namespace atelier::worker {

// Resident memory of this process, from /proc/self/statm; 0 where that cannot be read. Unit: bytes.
std::uint64_t ResidentBytes();

// The machine's main memory. Unit: bytes.
std::uint64_t MachineMemoryBytes();

}  // namespace atelier::worker
