#include "worker/app/openmp.h"

#include <cstdlib>

#include "worker/app/start_over.h"

namespace atelier::worker {

void SleepWhileWaiting(char** argv) {
  constexpr const char* kPolicy = "OMP_WAIT_POLICY";
  if (std::getenv(kPolicy) != nullptr || setenv(kPolicy, "PASSIVE", /*overwrite=*/1) != 0) {
    return;
  }
  // Some tenths of a millisecond of waiting awake: the teams of one training step follow each other
  // closely, and to sleep between any two costs 8 to 25 % of it (docs/benchmarks.md).
  setenv("GOMP_SPINCOUNT", "20000", /*overwrite=*/0);
  // Returns only when it fails, and then spinning is no reason not to work.
  StartOver(argv);
}

}  // namespace atelier::worker
