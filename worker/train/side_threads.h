// Threads beside the one that trains: for pictures.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace atelier::train {

// `wanted`, or where it is 0 one a core and at most 4.
int SideThreads(int wanted);

// Calls work(0) ... work(count - 1), each once, on `threads` threads, and returns when all have
// returned: the first error, after which no more calls are begun. What `work` throws comes back as
// of infer::Guarded.
absl::Status OnSideThreads(int threads, std::int64_t count,
                           const std::function<absl::Status(std::int64_t)>& work);

}  // namespace atelier::train
