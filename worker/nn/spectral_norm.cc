#include "worker/nn/spectral_norm.h"

#include <torch/torch.h>

#include <cmath>

namespace atelier::nn {
namespace {

constexpr double kEps = 1e-12;

torch::Tensor UnitLength(const torch::Tensor& vector) {
  return vector / vector.norm().clamp_min(kEps);
}

torch::Tensor EqualElements(std::int64_t size) {
  return torch::full({size}, 1.0 / std::sqrt(static_cast<double>(size)));
}

torch::nn::Conv2d Convolution(const ConvolutionOptions& options) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(options.in_channels, options.out_channels, options.kernel)
          .stride(options.stride)
          .padding(options.padding)
          .bias(options.bias));
}

torch::nn::Linear Linear(int in_features, int out_features, bool bias) {
  return torch::nn::Linear(torch::nn::LinearOptions(in_features, out_features).bias(bias));
}

}  // namespace

SpectralModule::SpectralModule(const torch::Tensor& weight, const torch::Tensor& bias)
    : weight_orig_(register_parameter("weight_orig", weight)),
      weight_u_(register_buffer("weight_u", EqualElements(weight.size(0)))),
      weight_v_(register_buffer("weight_v", EqualElements(weight[0].numel()))) {
  if (bias.defined()) {
    bias_ = register_parameter("bias", bias);
  }
}

void SpectralModule::ResetVectors(const at::Generator& random) {
  const torch::NoGradGuard no_grad;
  for (torch::Tensor* vector : {&weight_u_, &weight_v_}) {
    vector->copy_(UnitLength(torch::randn(vector->sizes(), random, torch::kFloat)));
  }
}

void SpectralModule::IteratePower(const torch::Tensor& matrix) {
  const torch::NoGradGuard no_grad;
  weight_v_.copy_(UnitLength(torch::mv(matrix.t(), weight_u_)));
  weight_u_.copy_(UnitLength(torch::mv(matrix, weight_v_)));
}

torch::Tensor SpectralModule::NormalizedWeight() {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const torch::Tensor matrix = weight_orig_.reshape({weight_orig_.size(0), -1});
  if (is_training()) {
    IteratePower(matrix);
  }
  // Copies: the next forward renews the vectors in place, while this one's backward still needs
  // them.
  const torch::Tensor u = weight_u_.clone();
  const torch::Tensor v = weight_v_.clone();
  return weight_orig_ / torch::dot(u, torch::mv(matrix, v));
}

SpectralConv2dImpl::SpectralConv2dImpl(const ConvolutionOptions& options)
    : SpectralConv2dImpl(options, Convolution(options)) {}

SpectralConv2dImpl::SpectralConv2dImpl(const ConvolutionOptions& options,
                                       const torch::nn::Conv2d& start)
    : SpectralModule(start->weight, start->bias),
      stride_(options.stride),
      padding_(options.padding) {}

torch::Tensor SpectralConv2dImpl::forward(const torch::Tensor& x) {
  return torch::conv2d(x, NormalizedWeight(), bias(), stride_, padding_);
}

SpectralLinearImpl::SpectralLinearImpl(int in_features, int out_features, bool bias)
    : SpectralLinearImpl(Linear(in_features, out_features, bias)) {}

SpectralLinearImpl::SpectralLinearImpl(const torch::nn::Linear& start)
    : SpectralModule(start->weight, start->bias) {}

torch::Tensor SpectralLinearImpl::forward(const torch::Tensor& x) {
  return torch::linear(x, NormalizedWeight(), bias());
}

torch::nn::AnyModule MakeConvolution(const ConvolutionOptions& options, bool spectral) {
  return spectral ? torch::nn::AnyModule(SpectralConv2d(options))
                  : torch::nn::AnyModule(Convolution(options));
}

}  // namespace atelier::nn
