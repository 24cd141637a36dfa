// pixels.h in plain ATen operations: what the kernels are compared with, and what runs on devices
// without a kernel of their own.
#pragma once

#include <ATen/core/Tensor.h>

namespace atelier::kernels {

at::Tensor PixelsToTensorReference(const at::Tensor& pixels);
at::Tensor TensorToPixelsReference(const at::Tensor& tensor);

}  // namespace atelier::kernels
