// What this process takes.
#pragma once

#include <cstdint>

namespace atelier {

// Resident memory of this process, from /proc/self/statm; 0 where that cannot be read. Unit: bytes.
std::uint64_t ResidentBytes();

}  // namespace atelier
