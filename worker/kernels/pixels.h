// The two conversions around every generator: bytes to numbers and back. Pure functions,
// thread-safe.
//
// The device of the argument picks the implementation: pixels_cpu.cc, pixels.cu where nvcc was
// there at build time, else the plain version of pixels_reference.h. All three give the same
// values, bit for bit.
#pragma once

#include <ATen/core/Tensor.h>

namespace atelier::kernels {

// uint8 [N, H, W, 3] → float32 [N, 3, H, W] in [-1, 1], x / 127.5 - 1, in channels_last memory.
at::Tensor PixelsToTensor(const at::Tensor& pixels);

// float32 or bfloat16 [N, 3, H, W], nominally in [-1, 1] → uint8 [N, H, W, 3], contiguous: (x + 1)
// * 127.5, rounded to the nearest integer and halves to the even one, clamped to 0..255; NaN gives
// 0. Fastest from channels_last memory.
at::Tensor TensorToPixels(const at::Tensor& tensor);

}  // namespace atelier::kernels
