#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "worker/kernels/pixels_launch.h"

namespace atelier::kernels {
namespace {

constexpr int kThreadsPerBlock = 256;
// Enough blocks to fill any device; the grid then strides over the rest.
constexpr std::int64_t kMaxBlocks = 4096;

// The _rn intrinsics keep nvcc from fusing the steps, which would round other halves than the CPU
// does.
struct ToFloat {
  __device__ float operator()(std::uint8_t level) const {
    return __fsub_rn(__fdiv_rn(static_cast<float>(level), 127.5F), 1.0F);
  }
};

struct ToLevel {
  __device__ std::uint8_t operator()(float value) const {
    const float level = __fmul_rn(__fadd_rn(value, 1.0F), 127.5F);
    const float floored = level > 0.0F ? level : 0.0F;  // NaN compares false
    return static_cast<std::uint8_t>(__float2int_rn(floored < 255.0F ? floored : 255.0F));
  }
  __device__ std::uint8_t operator()(std::uint16_t bfloat16) const {
    return (*this)(__uint_as_float(static_cast<unsigned int>(bfloat16) << 16));
  }
};

template <typename In, typename Out, typename Function>
__global__ void Map(const In* in, Out* out, std::int64_t size, Function function) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += stride) {
    out[i] = function(in[i]);
  }
}

template <typename In, typename Out, typename Function>
int Launch(int device, void* stream, const In* in, Out* out, std::int64_t size, Function function) {
  if (size == 0) {
    return cudaSuccess;
  }
  // This copy of the CUDA runtime (linked statically) does not know which device LibTorch's copy
  // has chosen.
  if (const cudaError_t error = cudaSetDevice(device); error != cudaSuccess) {
    return error;
  }
  const std::int64_t blocks =
      std::min(kMaxBlocks, (size + kThreadsPerBlock - 1) / kThreadsPerBlock);
  Map<<<static_cast<unsigned int>(blocks), kThreadsPerBlock, 0,
        static_cast<cudaStream_t>(stream)>>>(in, out, size, function);
  return cudaGetLastError();
}

}  // namespace

int LaunchPixelsToFloat(int device, void* stream, const std::uint8_t* in, float* out,
                        std::int64_t size) {
  return Launch(device, stream, in, out, size, ToFloat());
}

int LaunchFloatToPixels(int device, void* stream, const float* in, std::uint8_t* out,
                        std::int64_t size) {
  return Launch(device, stream, in, out, size, ToLevel());
}

int LaunchBfloat16ToPixels(int device, void* stream, const std::uint16_t* in, std::uint8_t* out,
                           std::int64_t size) {
  return Launch(device, stream, in, out, size, ToLevel());
}

}  // namespace atelier::kernels
