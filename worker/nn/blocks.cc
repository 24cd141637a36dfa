#include "worker/nn/blocks.h"

#include <torch/torch.h>

#include <vector>

#include "worker/nn/instance_norm.h"

namespace atelier::nn {

torch::Tensor PadToMultiple(const torch::Tensor& x, int multiple) {
  const auto missing = [multiple](std::int64_t side) {
    return (multiple - side % multiple) % multiple;
  };
  const std::int64_t bottom = missing(x.size(2));
  const std::int64_t right = missing(x.size(3));
  if (bottom == 0 && right == 0) {
    return x;
  }
  return torch::reflection_pad2d(x, {0, right, 0, bottom});
}

InstanceNormImpl::InstanceNormImpl(int channels, bool affine) {
  if (affine) {
    weight_ = register_parameter("weight", torch::ones({channels}));
    bias_ = register_parameter("bias", torch::zeros({channels}));
  }
}

torch::Tensor InstanceNormImpl::forward(const torch::Tensor& x) {
  return InstanceNormalize(x, weight_, bias_);
}

UpConvImpl::UpConvImpl(int in_channels, int out_channels) {
  const torch::nn::ConvTranspose2d defaults(
      torch::nn::ConvTranspose2dOptions(in_channels, out_channels, 3));
  weight = register_parameter("weight", defaults->weight);
  bias = register_parameter("bias", defaults->bias);
}

torch::Tensor UpConvImpl::forward(const torch::Tensor& x) {
  const auto up = [this](const torch::Tensor& input) {
    return torch::conv_transpose2d(input, weight, bias, /*stride=*/2, /*padding=*/1,
                                   /*output_padding=*/1);
  };
  if (!x.is_cpu() || x.size(0) == 1) {
    return up(x);
  }
  std::vector<torch::Tensor> pictures;
  for (const torch::Tensor& picture : x.split(1)) {
    pictures.push_back(up(picture));
  }
  return torch::cat(pictures);
}

ConvNormReluImpl::ConvNormReluImpl(int in_channels, int out_channels, int kernel, int stride)
    : kernel_(kernel),
      conv_(register_module(
          "conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(in_channels, out_channels, kernel)
                                        .stride(stride)
                                        .bias(false)))),
      norm_(register_module("norm", InstanceNorm(out_channels, /*affine=*/true))) {}

torch::Tensor ConvNormReluImpl::forward(const torch::Tensor& x) {
  const std::int64_t pad = kernel_ / 2;
  return norm_(conv_(torch::reflection_pad2d(x, {pad, pad, pad, pad}))).relu_();
}

void InitializeConvolutions(torch::nn::Module& module,
                            const std::function<void(torch::Tensor&)>& fill) {
  const torch::NoGradGuard no_grad;
  for (auto& item : module.named_parameters()) {
    torch::Tensor& parameter = item.value();
    if (parameter.dim() > 1) {
      fill(parameter);
    } else {
      const bool scale = item.key().ends_with("weight");
      parameter.fill_(scale ? 1.0 : 0.0);
    }
  }
}

void InitializeNormal(torch::nn::Module& module, at::Generator random) {
  InitializeConvolutions(module, [&](torch::Tensor& weight) { weight.normal_(0.0, 0.02, random); });
}

}  // namespace atelier::nn
