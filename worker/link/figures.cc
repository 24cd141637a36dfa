#include "worker/link/figures.h"

#include <unistd.h>

#include <fstream>

namespace atelier::worker {
namespace {

std::uint64_t PageBytes() { return static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)); }

}  // namespace

std::uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  if (!(statm >> total_pages >> resident_pages)) {
    return 0;
  }
  return resident_pages * PageBytes();
}

std::uint64_t MachineMemoryBytes() {
  const auto pages = sysconf(_SC_PHYS_PAGES);
  return pages > 0 ? static_cast<std::uint64_t>(pages) * PageBytes() : 0;
}

}  // namespace atelier::worker
