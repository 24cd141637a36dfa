// The norms to choose from between a convolution and its activation.
#pragma once

#include <torch/nn/modules/container/any.h>

namespace atelier::nn {

enum class NormKind {
  // Each channel of each picture (Ulyanov et al. 2016, arXiv:1607.08022); see instance_norm.h. No
  // parameters.
  kInstance,
  // Each channel over the batch (Ioffe and Szegedy 2015, arXiv:1502.03167), momentum 0.1:
  // "weight", "bias", "running_mean", "running_var" [C] and "num_batches_tracked" (), as PyTorch's
  // BatchNorm2d; see batch_norm.h for batches on several ranks.
  kBatch,
  // All channels of each picture together (Ba et al. 2016, arXiv:1607.06450), with one scale and
  // shift a channel: "weight", "bias" [C]; equal to PyTorch's GroupNorm(1, C). The choice of
  // Gulrajani et al. 2017 (arXiv:1704.00028) for critics under a gradient penalty, because it keeps
  // the pictures of a batch apart.
  kLayer,
  // The identity.
  kNone,
};

// A norm of [N, C, H, W] for a torch::nn::Sequential. Statistics in fp32 or better, eps 1e-5. All
// are differentiable twice, as gradient penalties need.
torch::nn::AnyModule MakeNorm(NormKind kind, int channels);

// Whether the convolution before such a norm has a bias in the networks of
// junyanz/pytorch-CycleGAN-and-pix2pix and of CUT: with kInstance only.
bool ConvolutionHasBias(NormKind kind);

}  // namespace atelier::nn
