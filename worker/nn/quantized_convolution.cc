#include "worker/nn/quantized_convolution.h"

#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/Utils.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>

#include "common/check.h"

namespace atelier::nn {
namespace {

constexpr double kLargestInput = 255;
constexpr double kLargestWeight = 127;

using Ints = torch::List<std::int64_t>;

// oneDNN's operators have no C++ function of their own in LibTorch; these are their schemas.
using Prepack = torch::Tensor(torch::Tensor weight, torch::Tensor weight_scales, double input_scale,
                              std::int64_t input_zero_point, Ints stride, Ints padding,
                              Ints dilation, std::int64_t groups, std::optional<Ints> input_shape);
using Convolve = torch::Tensor(torch::Tensor input, double input_scale,
                               std::int64_t input_zero_point, torch::Tensor weight,
                               torch::Tensor weight_scales, torch::Tensor weight_zero_points,
                               std::optional<torch::Tensor> bias, Ints stride, Ints padding,
                               Ints dilation, std::int64_t groups, double output_scale,
                               std::int64_t output_zero_point,
                               std::optional<torch::ScalarType> output_type,
                               std::string_view activation,
                               torch::List<std::optional<at::Scalar>> activation_numbers,
                               std::optional<std::string_view> activation_algorithm);

template <typename Signature>
auto FindOperator(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

Ints Both(std::int64_t value) { return Ints({value, value}); }

std::optional<torch::Tensor> Optional(const torch::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// uint8, of the layout of x.
torch::Tensor ToIntegers(const torch::Tensor& x, const InputGrid& grid) {
  return torch::int_repr(
      torch::quantize_per_tensor(x, grid.scale, grid.zero_point, torch::kQUInt8));
}

}  // namespace

InputGrid GridFor(double low, double high) {
  low = std::min(low, 0.0);
  high = std::max(high, 0.0);
  if (high == low) {
    return {.scale = 1};
  }
  const double scale = (high - low) / kLargestInput;
  return {.scale = scale,
          .zero_point = std::clamp<std::int64_t>(std::llround(-low / scale), 0,
                                                 static_cast<std::int64_t>(kLargestInput))};
}

QuantizedConvolutionImpl::QuantizedConvolutionImpl(const ConvolutionOptions& options)
    : stride_(options.stride), padding_(options.padding) {
  const std::int64_t out = options.out_channels;
  weight_ = register_parameter(
      "weight",
      torch::zeros({out, options.in_channels, options.kernel, options.kernel}, torch::kChar),
      /*requires_grad=*/false);
  if (options.bias) {
    bias_ = register_parameter("bias", torch::zeros({out}), /*requires_grad=*/false);
  }
  weight_scale_ = register_buffer("weight_scale", torch::ones({out}));
  input_scale_ = register_buffer("input_scale", torch::zeros({1}));
  input_zero_point_ = register_buffer("input_zero_point", torch::zeros({1}, torch::kInt));
}

torch::Tensor QuantizedConvolutionImpl::forward(const torch::Tensor& x) {
  if (observer_) {
    observer_(x);
    return torch::conv2d(x, source_weight_, bias_, stride_, padding_);
  }
  TORCH_CHECK(x.is_cpu(), "int8 convolutions run on CPUs only");
  // Without VNNI the products of 8 bits are added up in 16, which overflow: results would be off by
  // more than a step, and by far. The plain form is right everywhere, and no faster than fp32.
  static const bool adds_in_32_bits = at::cpu::is_avx512_vnni_supported();
  // oneDNN's kernels for AMX, as LibTorch 2.11 has them, leave numbers out where a stride makes the
  // result one place wide and it is some places high. So narrow a picture costs nothing either way.
  const std::int64_t width =
      (x.size(3) + std::int64_t{2} * padding_ - weight_.size(3)) / stride_ + 1;
  if (!adds_in_32_bits || (stride_ > 1 && width == 1)) {
    return Reference(x.detach().to(torch::kFloat)).contiguous(torch::MemoryFormat::ChannelsLast);
  }
  static const auto convolve = FindOperator<Convolve>("onednn::qconv2d_pointwise");
  const torch::Tensor input =
      x.detach().to(torch::kFloat).contiguous(torch::MemoryFormat::ChannelsLast);
  const Packed packed = PackedFor(input);
  return convolve.call(ToIntegers(input, packed.grid), packed.grid.scale, packed.grid.zero_point,
                       packed.weight, weight_scale_, packed.weight_zero_point, Optional(bias_),
                       Both(stride_), Both(padding_), /*dilation=*/Both(1), /*groups=*/1,
                       /*output_scale=*/1.0, /*output_zero_point=*/0, torch::kFloat,
                       /*activation=*/"none", torch::List<std::optional<at::Scalar>>(),
                       /*activation_algorithm=*/"");
}

torch::Tensor QuantizedConvolutionImpl::Reference(const torch::Tensor& x) const {
  const auto scale = static_cast<double>(input_scale_.item<float>());
  TORCH_CHECK(scale > 0, "an int8 convolution has no grid for its input");
  const int zero_point = input_zero_point_.item<int>();
  const torch::Tensor steps =
      (torch::round(x / scale) + zero_point).clamp(0, kLargestInput) - zero_point;
  return torch::conv2d(steps * scale, weight_.to(torch::kFloat) * weight_scale_.view({-1, 1, 1, 1}),
                       bias_, stride_, padding_);
}

QuantizedConvolutionImpl::Packed QuantizedConvolutionImpl::PackedFor(const torch::Tensor& x) {
  const absl::MutexLock lock(&mutex_);
  if (!packed_.weight.defined()) {
    static const auto prepack = FindOperator<Prepack>("onednn::qconv_prepack");
    packed_.grid = {.scale = static_cast<double>(input_scale_.item<float>()),
                    .zero_point = input_zero_point_.item<int>()};
    TORCH_CHECK(packed_.grid.scale > 0, "an int8 convolution has no grid for its input");
    packed_.weight_zero_point = torch::zeros({weight_.size(0)}, torch::kChar);
    // The layout is chosen for a size of picture; others run as fast.
    packed_.weight = prepack.call(weight_.contiguous(), weight_scale_, packed_.grid.scale,
                                  packed_.grid.zero_point, Both(stride_), Both(padding_),
                                  /*dilation=*/Both(1), /*groups=*/1, Ints(x.sizes()));
  }
  return packed_;
}

void QuantizedConvolutionImpl::Unpack() {
  const absl::MutexLock lock(&mutex_);
  packed_ = {};
}

void QuantizedConvolutionImpl::SetWeights(const torch::Tensor& weight, const torch::Tensor& bias) {
  ATELIER_CHECK(weight.sizes() == weight_.sizes() && bias.defined() == bias_.defined());
  const torch::NoGradGuard no_grad;
  source_weight_ = weight.detach().to(torch::kFloat);
  const torch::Tensor largest = source_weight_.abs().amax({1, 2, 3});
  // A channel of zeros alone has any scale.
  weight_scale_.copy_(torch::where(largest > 0, largest / kLargestWeight, 1.0));
  weight_.copy_(torch::round(source_weight_ / weight_scale_.view({-1, 1, 1, 1}))
                    .clamp(-kLargestWeight, kLargestWeight));
  if (bias.defined()) {
    bias_.copy_(bias);
  }
  Unpack();
}

void QuantizedConvolutionImpl::SetInputGrid(const InputGrid& grid) {
  ATELIER_CHECK(grid.scale >= 0 && grid.zero_point >= 0 && grid.zero_point <= 255);
  const torch::NoGradGuard no_grad;
  input_scale_.fill_(grid.scale);
  input_zero_point_.fill_(grid.zero_point);
  Unpack();
}

void QuantizedConvolutionImpl::Observe(std::function<void(const torch::Tensor&)> observer) {
  ATELIER_CHECK(observer == nullptr || source_weight_.defined());
  observer_ = std::move(observer);
}

torch::nn::AnyModule MakeMaybeQuantized(const ConvolutionOptions& options, bool int8) {
  return int8 ? torch::nn::AnyModule(QuantizedConvolution(options))
              : MakeConvolution(options, /*spectral=*/false);
}

std::vector<std::pair<std::string, QuantizedConvolutionImpl*>> QuantizedConvolutionsOf(
    torch::nn::Module& network) {
  std::vector<std::pair<std::string, QuantizedConvolutionImpl*>> convolutions;
  for (const auto& item : network.named_modules("", /*include_self=*/false)) {
    if (auto* convolution = item.value()->as<QuantizedConvolutionImpl>(); convolution != nullptr) {
      convolutions.emplace_back(item.key(), convolution);
    }
  }
  return convolutions;
}

void QuantizeWeights(const torch::nn::Module& plain, torch::nn::Module& quantized) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> source;
  for (const auto& tensors : {plain.named_parameters(), plain.named_buffers()}) {
    for (const auto& item : tensors) {
      source.emplace(item.key(), item.value());
    }
  }
  for (const auto& [name, convolution] : QuantizedConvolutionsOf(quantized)) {
    const auto bias = source.extract(name + ".bias");
    const auto weight = source.extract(name + ".weight");
    ATELIER_CHECK(!weight.empty());
    convolution->SetWeights(weight.mapped(), bias.empty() ? torch::Tensor() : bias.mapped());
  }
  auto parameters = quantized.named_parameters();
  auto buffers = quantized.named_buffers();
  for (const auto& [name, tensor] : source) {
    torch::Tensor* target = parameters.find(name);
    target = target == nullptr ? buffers.find(name) : target;
    ATELIER_CHECK(target != nullptr && target->sizes() == tensor.sizes());
    target->copy_(tensor);
  }
}

}  // namespace atelier::nn
