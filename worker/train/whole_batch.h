// A batch whose parts lie on several ranks, seen as the whole that one rank would have.
#pragma once

#include <torch/types.h>

#include "worker/ranks/rank_group.h"
#include "worker/train/random.h"

namespace atelier::train {

// The samples of all ranks, given those of this one. Without a block there is one rank.
SampleRange WholeSamples(const SampleRange& part, int rank);

// `part`: [n, ...], of this rank's pictures of `samples` (samples.count of them or a multiple).
// Returns the pictures of all ranks in the order of the whole batch, [n * ranks, ...]. All ranks
// call it.
torch::Tensor GatherWhole(ranks::RankGroup& group, const SampleRange& samples,
                          const torch::Tensor& part);

// What GatherWhole made of this rank's pictures: [n, ...] out of [n * ranks, ...].
torch::Tensor PartOfWhole(const ranks::RankGroup& group, const SampleRange& samples,
                          const torch::Tensor& whole);

}  // namespace atelier::train
