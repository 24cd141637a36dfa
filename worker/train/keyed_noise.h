// Noise of networks that start from it or add it to a code.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "worker/train/random.h"

namespace atelier::train {

// Standard normal of `shape`, [N, ...] with N >= 1; the i-th of the N is a function of (seed,
// samples.At(i), draw) alone, so that batches, ranks and devices change nothing: it is drawn on the
// CPU and moved to `device`. `draw` tells several for one sample apart.
torch::Tensor KeyedNoise(std::uint64_t seed, const SampleRange& samples, std::int64_t draw,
                         torch::IntArrayRef shape, const torch::Device& device);

}  // namespace atelier::train
