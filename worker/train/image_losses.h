// Loss terms that compare pictures, their features, or the networks behind them; losses.h has those
// of faststyle, adversarial_loss.h and patch_nce.h the rest. All compute in FP32 whatever their
// inputs' type. Pure functions. Pictures [N, 3, H, W] in [-1, 1], features [N, C, H, W].
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <vector>

namespace atelier::train {

// Mean absolute difference, scalar: the cycle and identity losses of CycleGAN (Zhu et al. 2017,
// arXiv:1703.10593), the reconstruction of pix2pix (Isola et al. 2017, arXiv:1611.07004).
torch::Tensor AbsoluteDistance(const torch::Tensor& a, const torch::Tensor& b);

// KL(N(mean, exp(log_variance)) | N(0, 1)), summed over a code, mean over the batch, scalar (Kingma
// and Welling 2014, arXiv:1312.6114, appendix B). Both [N, …].
torch::Tensor KlDivergence(const torch::Tensor& mean, const torch::Tensor& log_variance);

// Mean absolute difference of a discriminator's inner features, mean over layers and scales, scalar
// (Wang et al. 2018, arXiv:1711.11585, equation 5; as the reconstruction of a VAE Larsen et al.
// 2016, arXiv:1512.09300). As Discriminator::Judgement::features; no gradient reaches `real`.
using ScaleFeatures = std::vector<std::vector<torch::Tensor>>;
torch::Tensor FeatureMatching(const ScaleFeatures& fake, const ScaleFeatures& real);

// 1 / (r + 1e-5), r the mean absolute difference of two batches of pictures over that of the codes
// that made them, scalar: small when different codes make different pictures (Mao et al. 2019,
// arXiv:1903.05628, as the loss of the authors' code).
torch::Tensor ModeSeeking(const torch::Tensor& pictures_a, const torch::Tensor& pictures_b,
                          const torch::Tensor& code_a, const torch::Tensor& code_b);

// Mean squared difference of the channels' means plus that of their deviations, sqrt(variance +
// 1e-5), summed over the layers, scalar (Huang and Belongie 2017, arXiv:1703.06868, equation 13,
// with means of squares as in the authors' code).
torch::Tensor StatisticsDistance(const std::vector<torch::Tensor>& features,
                                 const std::vector<torch::Tensor>& style);

// Squared difference of features whose channels are scaled to length 1 at each place, summed over
// channels, mean over places and layers, [N] (Zhang et al. 2018, arXiv:1801.03924, equation 1
// without learnt weights).
torch::Tensor PerceptualDistance(const std::vector<torch::Tensor>& features,
                                 const std::vector<torch::Tensor>& target);

// 1 minus the correlation of the two pictures' edge maps, [N] in [0, 2]: edges must stay where they
// are, colour and contrast are free. The edge map is the length of the Sobel gradient of the
// brightness (BT.601). Ours. Flat pictures give 1.
torch::Tensor StructureDistance(const torch::Tensor& pictures, const torch::Tensor& target);

// Sum of squares of all weights of more than one dimension, scalar: what a weight of 1e-4 of the
// classic recipes is multiplied with (Krogh and Hertz 1992). Biases and norms are left alone.
torch::Tensor SquaredWeights(const torch::nn::Module& module);

}  // namespace atelier::train
