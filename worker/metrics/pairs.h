// Metrics of two pictures of the same thing. Pure functions, thread-safe.
#pragma once

#include <torch/types.h>

#include <vector>

#include "absl/status/statusor.h"

namespace atelier::metrics {

// Mean structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Transactions on Image
// Processing 13/4) of the luma 0.299 R + 0.587 G + 0.114 B, as the paper does with colour pictures:
// a Gaussian window of 11 x 11 and sigma 1.5, K1 = 0.01, K2 = 0.03, L = 255, only where the whole
// window lies inside. a, b: uint8 [H, W, 3]. 1 for equal pictures, in [-1, 1]. Equals
// scikit-image's structural_similarity with gaussian_weights and without use_sample_covariance.
// INVALID_ARGUMENT: different sizes, or a side below 11.
absl::StatusOr<double> Ssim(const torch::Tensor& a, const torch::Tensor& b);

// Feature layers of two pictures of the same size, as LiteNetwork::Layers gives them: [1, C, h, w].
using Layers = std::vector<torch::Tensor>;

// Sum over the layers of the mean over positions of |a/|a| - b/|b||^2, where a and b are the
// vectors of channels at a position. This is LPIPS (Zhang et al. 2018, arXiv:1801.03924) without
// its learned weights for the channels. 0 for equal pictures; at most 4 a layer.
double FeatureDistance(const Layers& a, const Layers& b);

// The cosine of the flattened deepest layer (block 10).
double ContentSimilarity(const Layers& a, const Layers& b);

}  // namespace atelier::metrics
