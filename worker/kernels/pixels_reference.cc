#include "worker/kernels/pixels_reference.h"

#include <limits>

namespace atelier::kernels {

at::Tensor PixelsToTensorReference(const at::Tensor& pixels) {
  return pixels.to(at::kFloat)
      .div_(127.5)
      .sub_(1)
      .permute({0, 3, 1, 2})
      .contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor TensorToPixelsReference(const at::Tensor& tensor) {
  const at::Tensor levels = tensor.to(at::kFloat).add(1).mul_(127.5).round_();  // halves to even
  // Clamping leaves NaN alone; -1 then clamps to 0.
  const double infinity = std::numeric_limits<float>::infinity();
  return levels.nan_to_num_(-1, infinity, -infinity)
      .clamp_(0, 255)
      .to(at::kByte)
      .permute({0, 2, 3, 1})
      .contiguous();
}

}  // namespace atelier::kernels
