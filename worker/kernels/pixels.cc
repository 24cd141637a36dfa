#include "worker/kernels/pixels.h"

#include <ATen/ops/empty.h>

#include "common/check.h"
#include "worker/kernels/pixels_impl.h"
#include "worker/kernels/pixels_reference.h"

namespace atelier::kernels {

at::Tensor PixelsToTensor(const at::Tensor& pixels) {
  ATELIER_CHECK(pixels.scalar_type() == at::kByte && pixels.dim() == 4 && pixels.size(3) == 3);
  const at::Tensor in = pixels.contiguous();
  const at::Tensor out = at::empty({in.size(0), 3, in.size(1), in.size(2)},
                                   in.options().dtype(at::kFloat), at::MemoryFormat::ChannelsLast);
  if (in.is_cpu()) {
    PixelsToTensorCpu(in, out);
    return out;
  }
  return in.is_cuda() && PixelsToTensorCuda(in, out) ? out : PixelsToTensorReference(in);
}

at::Tensor TensorToPixels(const at::Tensor& tensor) {
  ATELIER_CHECK(tensor.dim() == 4 && tensor.size(1) == 3);
  ATELIER_CHECK(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16);
  const at::Tensor in = tensor.contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor out = at::empty({in.size(0), in.size(2), in.size(3), 3},
                                   in.options().dtype(at::kByte), at::MemoryFormat::Contiguous);
  if (in.is_cpu()) {
    TensorToPixelsCpu(in, out);
    return out;
  }
  return in.is_cuda() && TensorToPixelsCuda(in, out) ? out : TensorToPixelsReference(in);
}

}  // namespace atelier::kernels
