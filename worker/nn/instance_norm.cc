#include "worker/nn/instance_norm.h"

#include <torch/torch.h>

#include "worker/nn/instance_norm_cpu.h"

namespace atelier::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

torch::Tensor ChannelsLast(const torch::Tensor& x) {
  return x.contiguous(torch::MemoryFormat::ChannelsLast);
}

// The gradients in plain tensor operations, which are differentiable in turn: what a gradient
// penalty needs. `gradient` and x: [N, C, H, W] in fp32.
NormGradients DifferentiableGradients(const torch::Tensor& gradient, const torch::Tensor& x,
                                      const torch::Tensor& weight) {
  const auto mean = [](const torch::Tensor& t) { return t.mean({2, 3}, /*keepdim=*/true); };
  const torch::Tensor centred = x - mean(x);
  const torch::Tensor inverse_deviation = (mean(centred.square()) + kInstanceNormEps).rsqrt();
  const torch::Tensor normalized = centred * inverse_deviation;
  const torch::Tensor product = gradient * normalized;
  const torch::Tensor scale = weight.view({1, -1, 1, 1}) * inverse_deviation;
  return {scale * (gradient - mean(gradient) - normalized * mean(product)), product.sum({0, 2, 3}),
          gradient.sum({0, 2, 3})};
}

// Arguments of forward: x in channels_last memory, weight and bias in fp32.
class InstanceNormFunction : public torch::autograd::Function<InstanceNormFunction> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight, const torch::Tensor& bias) {
    const NormStatistics statistics = ComputeStatisticsCpu(x, kInstanceNormEps);
    context->save_for_backward({x, statistics.mean, statistics.inverse_deviation, weight});
    return NormalizeCpu(x, statistics, weight, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const torch::Tensor& x = saved[0];
    if (torch::GradMode::is_enabled()) {
      const NormGradients result =
          DifferentiableGradients(gradients[0].to(torch::kFloat), x.to(torch::kFloat), saved[3]);
      return {result.x.to(x.scalar_type()), result.weight, result.bias};
    }
    const torch::Tensor gradient = ChannelsLast(gradients[0].to(x.scalar_type()));
    const NormGradients result = NormalizeBackwardCpu(gradient, x, {saved[1], saved[2]}, saved[3]);
    return {result.x, result.weight, result.bias};
  }
};

}  // namespace

at::Tensor InstanceNormalize(const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& bias) {
  const bool has_kernel =
      x.is_cpu() && (x.scalar_type() == torch::kFloat || x.scalar_type() == torch::kBFloat16);
  if (!has_kernel) {
    return torch::instance_norm(x, weight, bias, {}, {}, /*use_input_stats=*/true, /*momentum=*/0.0,
                                kInstanceNormEps,
                                /*cudnn_enabled=*/true);
  }
  const torch::Tensor scale =
      weight.defined() ? weight.to(torch::kFloat) : torch::ones({x.size(1)});
  const torch::Tensor shift = bias.defined() ? bias.to(torch::kFloat) : torch::zeros({x.size(1)});
  if (torch::GradMode::is_enabled()) {
    return InstanceNormFunction::apply(ChannelsLast(x), scale, shift);
  }
  const torch::Tensor input = ChannelsLast(x);
  return NormalizeCpu(input, ComputeStatisticsCpu(input, kInstanceNormEps), scale, shift);
}

}  // namespace atelier::nn
