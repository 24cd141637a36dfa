// The implementations that pixels.cc chooses from.
#pragma once

#include <ATen/core/Tensor.h>

namespace atelier::kernels {

// `pixels`: contiguous uint8 [N, H, W, 3]; `out`: float32 [N, 3, H, W] in channels_last memory. The
// same device.
void PixelsToTensorCpu(const at::Tensor& pixels, const at::Tensor& out);
// `tensor`: float32 or bfloat16 [N, 3, H, W] in channels_last memory; `out`: contiguous uint8 [N,
// H, W, 3].
void TensorToPixelsCpu(const at::Tensor& tensor, const at::Tensor& out);

// The same on a CUDA device, in the order of its current stream; without waiting. False: this build
// has no CUDA kernels (pixels_nocuda.cc), nothing was done.
bool PixelsToTensorCuda(const at::Tensor& pixels, const at::Tensor& out);
bool TensorToPixelsCuda(const at::Tensor& tensor, const at::Tensor& out);

}  // namespace atelier::kernels
