// Between LibTorch's tensors and pixels.cu. Needs libc10 only: a program that runs on CPUs need not
// link libtorch_cuda.
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include "worker/kernels/pixels_impl.h"
#include "worker/kernels/pixels_launch.h"

namespace atelier::kernels {
namespace {

void* CurrentStream(const c10::Device& device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle();
}

// A c10::Error like those of LibTorch's own operators, which the library's edge turns into
// absl::Status.
void CheckLaunched(int error) { TORCH_CHECK(error == 0, "CUDA error ", error, " in pixels.cu"); }

}  // namespace

bool PixelsToTensorCuda(const at::Tensor& pixels, const at::Tensor& out) {
  const c10::DeviceGuard guard(pixels.device());  // puts the caller's device back
  CheckLaunched(LaunchPixelsToFloat(pixels.get_device(), CurrentStream(pixels.device()),
                                    pixels.const_data_ptr<std::uint8_t>(),
                                    out.mutable_data_ptr<float>(), pixels.numel()));
  return true;
}

bool TensorToPixelsCuda(const at::Tensor& tensor, const at::Tensor& out) {
  const c10::DeviceGuard guard(tensor.device());
  void* stream = CurrentStream(tensor.device());
  auto* to = out.mutable_data_ptr<std::uint8_t>();
  if (tensor.scalar_type() == at::kFloat) {
    CheckLaunched(LaunchFloatToPixels(tensor.get_device(), stream, tensor.const_data_ptr<float>(),
                                      to, tensor.numel()));
  } else {
    CheckLaunched(LaunchBfloat16ToPixels(tensor.get_device(), stream,
                                         static_cast<const std::uint16_t*>(tensor.const_data_ptr()),
                                         to, tensor.numel()));
  }
  return true;
}

}  // namespace atelier::kernels
