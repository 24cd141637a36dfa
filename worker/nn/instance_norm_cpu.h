// The kernels behind instance_norm.h. Tensors are on the CPU; x and what has its shape is float or
// bfloat16 in channels_last memory, what belongs to a channel is contiguous float.
#pragma once

#include <ATen/core/Tensor.h>

namespace atelier::nn {

// mean and inverse standard deviation of every picture's channels, float [N, C] each.
struct NormStatistics {
  at::Tensor mean;
  at::Tensor inverse_deviation;
};

NormStatistics ComputeStatisticsCpu(const at::Tensor& x, double eps);

// y = (x - mean) * inverse_deviation * weight + bias; weight and bias [C].
at::Tensor NormalizeCpu(const at::Tensor& x, const NormStatistics& statistics,
                        const at::Tensor& weight, const at::Tensor& bias);

struct NormGradients {
  at::Tensor x;       // shape and type of x
  at::Tensor weight;  // [C]
  at::Tensor bias;    // [C]
};

NormGradients NormalizeBackwardCpu(const at::Tensor& gradient, const at::Tensor& x,
                                   const NormStatistics& statistics, const at::Tensor& weight);

}  // namespace atelier::nn
