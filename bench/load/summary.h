// What a load came to.
#pragma once

#include <cstddef>
#include <vector>

#include "absl/time/time.h"
#include "bench/load/open_loop.h"

namespace atelier::bench {

struct Summary {
  std::size_t calls = 0;
  std::size_t ok = 0;
  std::size_t refused = 0;         // RESOURCE_EXHAUSTED
  std::size_t late = 0;            // taken in, and not answered by the deadline
  std::size_t failed = 0;          // any other error
  std::vector<double> ok_ms;       // latencies, counted from when the calls were due
  std::vector<double> refused_ms;  // latencies, counted from when the calls were made
};

Summary Summarize(const std::vector<CallRecord>& records);

}  // namespace atelier::bench
