// Loss terms, as functions of tensors. All compute in FP32 whatever their inputs' type, and return
// one value a picture, [N], or a scalar where said. Shapes: pictures [N, 3, H, W] in [-1, 1],
// features [N, C, H, W].
#pragma once

#include <torch/types.h>

#include "worker/nn/picture_terms.h"

namespace atelier::train {

using nn::FeatureDistance;
using nn::Gram;
using nn::TotalVariation;

// Each element times itself.
inline torch::Tensor Squared(const torch::Tensor& x) { return x * x; }

// sqrt(|gram - target|^2 / |target|^2 + 1e-4), [N]. Dividing by the target makes layers comparable;
// the root keeps a far painting from dominating. `target` is [C, C] or [N, C, C].
torch::Tensor GramDistance(const torch::Tensor& gram, const torch::Tensor& target);

// 1 - cosine of the flattened features, [N].
torch::Tensor CosineDistance(const torch::Tensor& features, const torch::Tensor& target);

// Sliced Wasserstein-1 distance between colour clouds [N, 3, M] along unit `directions`, [D, 3] for
// all or [N, D, 3], [N] (Rabin et al. 2011).
torch::Tensor SlicedWasserstein(const torch::Tensor& a, const torch::Tensor& b,
                                const torch::Tensor& directions);

// Every `stride`-th pixel of pictures from (top, left) on, [N, 3, M]: what SlicedWasserstein
// compares. Pixels rather than averages: averages lose the saturated ones.
torch::Tensor ColorCloud(const torch::Tensor& pictures, std::int64_t stride, std::int64_t top,
                         std::int64_t left);

// Mean squared difference of brightness (BT.601) at half the resolution after removing each
// picture's mean and contrast, [N]: light and dark may move, but prints and folds stay.
torch::Tensor LuminanceDistance(const torch::Tensor& pictures, const torch::Tensor& target);

// The same idea for colour differences (red and blue minus brightness) at an eighth of the
// resolution, [N].
torch::Tensor ChromaDistance(const torch::Tensor& pictures, const torch::Tensor& target);

}  // namespace atelier::train
