// Spectral normalisation (Miyato et al. 2018, arXiv:1802.05957): layers whose weight matrix is
// divided by its largest singular value, which bounds a discriminator's Lipschitz constant.
// Parameter and buffer names equal torch.nn.utils.spectral_norm's.
#pragma once

#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

namespace atelier::nn {

// "weight_orig" W, "bias" if there is one, and the estimates of the leading singular vectors:
// "weight_u" [rows], "weight_v" [columns], where the matrix of W is [W.size(0), rest].
//
// In training mode every forward renews them by one step of the power iteration, in evaluation mode
// none does. The norm sigma = u^T W v is computed in fp32 under autocast, too, and the gradient
// flows through it. forward is not thread-safe in training mode.
class SpectralModule : public torch::nn::Module {
 public:
  // Random unit vectors, from `random` (a CPU generator). Before the first call both have equal
  // elements.
  void ResetVectors(const at::Generator& random);

 protected:
  SpectralModule(const torch::Tensor& weight, const torch::Tensor& bias);

  // W / sigma.
  torch::Tensor NormalizedWeight();
  // [out], or undefined.
  const torch::Tensor& bias() const { return bias_; }

 private:
  void IteratePower(const torch::Tensor& matrix);

  torch::Tensor weight_orig_;
  torch::Tensor bias_;
  torch::Tensor weight_u_;
  torch::Tensor weight_v_;
};

// A square convolution, groups and dilation 1.
struct ConvolutionOptions {
  int in_channels;
  int out_channels;
  int kernel;
  int stride = 1;
  int padding = 0;  // zeros
  bool bias = true;
};

class SpectralConv2dImpl final : public SpectralModule {
 public:
  explicit SpectralConv2dImpl(const ConvolutionOptions& options);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  SpectralConv2dImpl(const ConvolutionOptions& options, const torch::nn::Conv2d& start);

  int stride_;
  int padding_;
};
TORCH_MODULE(SpectralConv2d);

class SpectralLinearImpl final : public SpectralModule {
 public:
  SpectralLinearImpl(int in_features, int out_features, bool bias);
  // x: [..., in_features].
  torch::Tensor forward(const torch::Tensor& x);

 private:
  explicit SpectralLinearImpl(const torch::nn::Linear& start);
};
TORCH_MODULE(SpectralLinear);

// A plain convolution ("weight", "bias") or a spectral one, for a torch::nn::Sequential.
torch::nn::AnyModule MakeConvolution(const ConvolutionOptions& options, bool spectral);

}  // namespace atelier::nn
