// Running a model before anybody waits for it: the first run at a size picks kernels and allocates.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "worker/infer/model.h"

namespace atelier::worker {

// Restyles a square of each size, in the model's own precision. Nothing is left to do for models of
// patterns, which loading warms at their one size, and for those that optimise pixels, which have
// nothing that gets warm. Thread-safe, blocks. INVALID_ARGUMENT naming `warmup_sizes`: outside
// 16..4096; errors of Stylizer::Stylize.
absl::Status WarmUp(infer::Model& model, const std::vector<std::uint32_t>& sizes);

}  // namespace atelier::worker
