#include "worker/jobs/leftover_cpu.h"

#include <sched.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <cstring>

namespace atelier::worker {

void ComputeOnLeftoverCpu() {
  const sched_param none = {};
  // 0 names the calling thread: on Linux a policy belongs to a thread.
  if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) {
    spdlog::warn("cannot train on the leftover CPU time only: {}", std::strerror(errno));
  }
}

}  // namespace atelier::worker
