// Training that gives way to whatever else the machine has to do.
#pragma once

namespace atelier::worker {

// From now on the calling thread, and the threads and processes that it starts, run on a core only
// while nothing else wants it (Linux's SCHED_IDLE). Threads that exist keep what they have. What
// cannot be had is told in the log; the work gets done either way.
void ComputeOnLeftoverCpu();

}  // namespace atelier::worker
