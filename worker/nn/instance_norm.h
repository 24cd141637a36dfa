// Instance norm (Ulyanov et al. 2016, arXiv:1607.08022) with an implementation of our own for CPUs.
//
// Why: LibTorch's leaves channels_last memory, which costs every following convolution a
// conversion, and sums serially; group_norm with one channel a group keeps the layout but sums in
// an order that depends on batch and thread count, and in fp32, where a 4096 px picture has more
// pixels than the sum has bits.
#pragma once

#include <ATen/core/Tensor.h>

namespace atelier::nn {

inline constexpr double kInstanceNormEps = 1e-5;

// x: float or bfloat16 [N, C, H, W]; weight and bias: [C], of any floating-point type, or both
// undefined. Returns x's shape and type, in channels_last memory on CPUs. Statistics in fp32 or
// better. On CPUs the result depends neither on the batch nor on the thread count, bit for bit.
// Differentiable any number of times. Thread-safe.
at::Tensor InstanceNormalize(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace atelier::nn
