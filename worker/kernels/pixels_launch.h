// The CUDA side of pixels.h, by raw pointers: no LibTorch header meets nvcc, no CUDA header meets
// LibTorch. Each function starts one kernel on `stream` (a cudaStream_t) of `device` and returns
// without waiting; 0 (cudaSuccess) or a cudaError_t.
#pragma once

#include <cstdint>

namespace atelier::kernels {

int LaunchPixelsToFloat(int device, void* stream, const std::uint8_t* in, float* out,
                        std::int64_t size);
int LaunchFloatToPixels(int device, void* stream, const float* in, std::uint8_t* out,
                        std::int64_t size);
// `in`: bfloat16 bit patterns.
int LaunchBfloat16ToPixels(int device, void* stream, const std::uint16_t* in, std::uint8_t* out,
                           std::int64_t size);

}  // namespace atelier::kernels
