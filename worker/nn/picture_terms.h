// What training compares pictures by and GatysTarget optimises: pure functions, in FP32 whatever
// their inputs' type. Pictures [N, 3, H, W] in [-1, 1], features [N, C, H, W].
#pragma once

#include <torch/types.h>

namespace atelier::nn {

// Gram matrix of features divided by H * W, [N, C, C] (Gatys, Ecker and Bethge 2015,
// arXiv:1508.06576).
torch::Tensor Gram(const torch::Tensor& features);

// |a - b|^2 / |b|^2, [N].
torch::Tensor FeatureDistance(const torch::Tensor& features, const torch::Tensor& target);

// Mean absolute difference of neighbours, down plus across, scalar (Rudin, Osher and Fatemi 1992,
// anisotropic form).
torch::Tensor TotalVariation(const torch::Tensor& pictures);

}  // namespace atelier::nn
