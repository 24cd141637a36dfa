#include "worker/nn/blocks.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "common/check.h"
#include "worker/nn/instance_norm.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {

torch::Tensor PadToMultiple(const torch::Tensor& x, int multiple) {
  const auto missing = [multiple](std::int64_t side) {
    return (multiple - side % multiple) % multiple;
  };
  std::int64_t bottom = missing(x.size(2));
  std::int64_t right = missing(x.size(3));
  torch::Tensor padded = x;
  while (bottom > 0 || right > 0) {
    // One reflection can add all pixels but the border's; reflecting the result goes on with the
    // same waves.
    const std::int64_t down = std::min(bottom, padded.size(2) - 1);
    const std::int64_t across = std::min(right, padded.size(3) - 1);
    if (down + across == 0) {
      return torch::replication_pad2d(padded, {0, right, 0, bottom});
    }
    padded = torch::reflection_pad2d(padded, {0, across, 0, down});
    bottom -= down;
    right -= across;
  }
  return padded;
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

UpConvImpl::UpConvImpl(int in_channels, int out_channels, int kernel, bool with_bias) {
  ATELIER_CHECK(kernel == 3 || kernel == 4);
  const torch::nn::ConvTranspose2d start(
      torch::nn::ConvTranspose2dOptions(in_channels, out_channels, kernel).bias(with_bias));
  weight = register_parameter("weight", start->weight);
  if (with_bias) {
    bias = register_parameter("bias", start->bias);
  }
}

torch::Tensor UpConvImpl::forward(const torch::Tensor& x) {
  // Kernel 3 gives 2H - 1 rows, kernel 4 gives 2H.
  const std::int64_t output_padding = weight.size(2) == 3 ? 1 : 0;
  const auto up = [this, output_padding](const torch::Tensor& input) {
    return torch::conv_transpose2d(input, weight, bias, /*stride=*/2, /*padding=*/1,
                                   output_padding);
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

torch::Tensor DoubleNearest(const torch::Tensor& x) {
  return torch::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)});
}

ResizeConvImpl::ResizeConvImpl(int in_channels, int out_channels, bool with_bias) {
  const torch::nn::Conv2d start(
      torch::nn::Conv2dOptions(in_channels, out_channels, 3).bias(with_bias));
  weight_ = register_parameter("weight", start->weight);
  if (with_bias) {
    bias_ = register_parameter("bias", start->bias);
  }
}

torch::Tensor ResizeConvImpl::forward(const torch::Tensor& x) {
  return torch::conv2d(torch::reflection_pad2d(DoubleNearest(x), {1, 1, 1, 1}), weight_, bias_);
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

namespace {

constexpr double kStartDeviation = 0.02;

void Initialize(torch::nn::Module& module, at::Generator random,
                const std::function<double(const torch::Tensor& weight)>& deviation) {
  InitializeConvolutions(
      module, [&](torch::Tensor& weight) { weight.normal_(0.0, deviation(weight), random); });
  const torch::NoGradGuard no_grad;
  for (const auto& child : module.modules(/*include_self=*/false)) {
    if (auto* norm = child->as<torch::nn::BatchNorm2d>(); norm != nullptr) {
      norm->weight.normal_(1.0, kStartDeviation, random);
      norm->reset_running_stats();
    } else if (auto* spectral = dynamic_cast<SpectralModule*>(child.get()); spectral != nullptr) {
      spectral->ResetVectors(random);
    }
  }
}

}  // namespace

void InitializeNormal(torch::nn::Module& module, at::Generator random) {
  Initialize(module, std::move(random), [](const torch::Tensor&) { return kStartDeviation; });
}

void InitializeXavier(torch::nn::Module& module, at::Generator random) {
  Initialize(module, std::move(random), [](const torch::Tensor& weight) {
    const std::int64_t places = weight[0][0].numel();
    const auto fans = static_cast<double>((weight.size(0) + weight.size(1)) * places);
    return kStartDeviation * std::sqrt(2.0 / fans);
  });
}

}  // namespace atelier::nn
