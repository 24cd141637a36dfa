#include "worker/app/openmp.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace atelier::worker {

void SleepWhileWaiting(char** argv) {
  constexpr const char* kPolicy = "OMP_WAIT_POLICY";
  if (std::getenv(kPolicy) != nullptr || setenv(kPolicy, "PASSIVE", /*overwrite=*/1) != 0) {
    return;
  }
  // Returns only when it fails, and then spinning is no reason not to work.
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  execv(program.c_str(), argv);
}

}  // namespace atelier::worker
