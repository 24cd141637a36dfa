#include "worker/link/figures.h"

#include <unistd.h>

namespace atelier::worker {

std::uint64_t MachineMemoryBytes() {
  const auto pages = sysconf(_SC_PHYS_PAGES);
  return pages > 0
             ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE))
             : 0;
}

}  // namespace atelier::worker
