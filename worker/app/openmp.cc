#include "worker/app/openmp.h"

#include <cstdlib>

#include "worker/app/start_over.h"

namespace atelier::worker {

void SleepWhileWaiting(char** argv) {
  constexpr const char* kPolicy = "OMP_WAIT_POLICY";
  if (std::getenv(kPolicy) != nullptr || setenv(kPolicy, "PASSIVE", /*overwrite=*/1) != 0) {
    return;
  }
  // Returns only when it fails, and then spinning is no reason not to work.
  StartOver(argv);
}

}  // namespace atelier::worker
