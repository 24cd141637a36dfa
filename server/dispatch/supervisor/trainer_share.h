// What training leaves to serving on a shared CPU.
#pragma once

#include <cstdint>

namespace atelier::server {

// How trainer processes are started.
struct TrainerShare {
  int nice = 10;              // above the server's own niceness
  bool leftover = true;       // compute only while nothing else wants the CPU
  std::uint32_t threads = 0;  // of each; 0: LibTorch's choice, one a core
};

// The share of a core that a serving thread (nice 0) gets beside `trainer_threads` others at `nice`
// on that core, by the weights of Linux's fair scheduler. `nice` is from 0 to 19.
double ServingShareAt(int nice, std::uint32_t trainer_threads);

// From this share on trainers compute on leftover time only (SCHED_IDLE), because niceness alone
// does not keep it: a serving thread that wakes goes to an idle core, and one with a nice thread on
// it is none to the scheduler, but one with a SCHED_IDLE thread is (docs/benchmarks.md has both).
inline constexpr double kLeftoverShare = 0.9;

// `count` trainers at a time on `cores`. `threads` of each; 0: the cores divided among them. The
// niceness is the lowest that leaves `serving_share` to each serving thread, or 19 where none does.
TrainerShare ShareOf(double serving_share, std::uint32_t count, std::uint32_t threads,
                     std::uint32_t cores);

}  // namespace atelier::server
