#include <c10/util/BFloat16.h>

#include <bit>
#include <cstdint>

#include "worker/kernels/parallel.h"
#include "worker/kernels/pixels_impl.h"

namespace atelier::kernels {
namespace {

// In channels_last memory the numbers lie as the bytes do, so both ways are one pass over flat
// arrays. Values a thread should have to be worth waking: about 50 µs of work.
constexpr std::int64_t kGrain = 1 << 16;

// Adding 1.5 * 2^23 leaves a float no room for a fraction: the sum's low byte is the value rounded
// to nearest, halves to even. Unlike nearbyint this becomes vector code on every x86-64 and arm64.
constexpr float kRounder = 12582912.0F;

inline std::uint8_t ToLevel(float value) {
  const float level = (value + 1.0F) * 127.5F;
  const float floored = level > 0.0F ? level : 0.0F;  // NaN compares false
  const float clamped = floored < 255.0F ? floored : 255.0F;
  return static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(clamped + kRounder));
}

template <typename Scalar>
void ToLevels(const Scalar* in, std::uint8_t* out, std::int64_t size) {
  ParallelFor(size, kGrain, [in, out](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      out[i] = ToLevel(static_cast<float>(in[i]));
    }
  });
}

}  // namespace

void PixelsToTensorCpu(const at::Tensor& pixels, const at::Tensor& out) {
  const std::uint8_t* from = pixels.const_data_ptr<std::uint8_t>();
  float* to = out.mutable_data_ptr<float>();
  ParallelFor(pixels.numel(), kGrain, [from, to](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      to[i] = static_cast<float>(from[i]) / 127.5F - 1.0F;
    }
  });
}

void TensorToPixelsCpu(const at::Tensor& tensor, const at::Tensor& out) {
  std::uint8_t* to = out.mutable_data_ptr<std::uint8_t>();
  if (tensor.scalar_type() == at::kFloat) {
    ToLevels(tensor.const_data_ptr<float>(), to, tensor.numel());
  } else {
    ToLevels(tensor.const_data_ptr<at::BFloat16>(), to, tensor.numel());
  }
}

}  // namespace atelier::kernels
