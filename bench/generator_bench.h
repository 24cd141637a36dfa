// The generator alone, without any server.
#pragma once

#include "absl/status/status.h"

namespace atelier::bench {

// Prints the milliseconds a picture of each generator, size and precision (median and minimum of
// `runs`).
absl::Status RunGeneratorBench(int runs);

}  // namespace atelier::bench
