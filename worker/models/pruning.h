// Structured pruning: whole channels are taken out of a generator, so that what is left is an
// ordinary network with fewer of them.
#pragma once

#include "absl/status/statusor.h"
#include "common/architecture.h"
#include "worker/models/safetensors.h"
#include "worker/nn/generator.h"

namespace atelier::models {

// `architecture`, a "resnet-..." or "unet-..." one, with the share `keep` (0 to 1) of its
// base_channels, rounded to a multiple of 4, at least 4. All other widths are multiples of it.
Architecture PrunedArchitecture(const Architecture& architecture, double keep);

// What is left of the weights of `source`, a network of `architecture`, in one of `pruned`, which
// PrunedArchitecture made of it: all its tensors. Of each layer the channels stay whose weights
// have the largest sum of absolute values (Li et al. 2017, arXiv:1608.08710), in their order.
// Layers whose results are added to each other (the residual blocks') keep the same channels: the
// sums over all of them decide. Pure.
absl::StatusOr<TensorMap> PruneChannels(const Architecture& architecture, nn::Generator& source,
                                        const Architecture& pruned);

}  // namespace atelier::models
