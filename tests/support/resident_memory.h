#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace atelier::test {

// What a process has in memory now (its resident set), in bytes; 0 when it is gone.
inline std::int64_t ResidentBytesOf(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  statm >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

}  // namespace atelier::test
