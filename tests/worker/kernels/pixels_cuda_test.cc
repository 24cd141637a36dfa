// The CUDA kernels by themselves, without LibTorch's CUDA libraries.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "worker/kernels/pixels_launch.h"

namespace atelier::kernels {
namespace {

class PixelsCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    if (const cudaError_t error = cudaGetDeviceCount(&devices);
        error != cudaSuccess || devices == 0) {
      GTEST_SKIP() << "no CUDA device: " << cudaGetErrorString(error);
    }
  }
};

// Runs `launch(in, out, size)` on copies of `in` on device 0.
template <typename Out, typename In, typename Launch>
std::vector<Out> OnDevice(const std::vector<In>& in, const Launch& launch) {
  std::vector<Out> out(in.size());
  void* device_in = nullptr;
  void* device_out = nullptr;
  EXPECT_EQ(cudaMalloc(&device_in, in.size() * sizeof(In)), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&device_out, out.size() * sizeof(Out)), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(device_in, in.data(), in.size() * sizeof(In), cudaMemcpyHostToDevice),
            cudaSuccess);
  EXPECT_EQ(launch(0, nullptr, static_cast<In*>(device_in), static_cast<Out*>(device_out),
                   static_cast<std::int64_t>(in.size())),
            0);
  EXPECT_EQ(cudaMemcpy(out.data(), device_out, out.size() * sizeof(Out), cudaMemcpyDeviceToHost),
            cudaSuccess);
  cudaFree(device_in);
  cudaFree(device_out);
  return out;
}

// More values than one grid has threads.
constexpr std::size_t kMany = 3'000'000;

TEST_F(PixelsCuda, TurnsBytesIntoFloats) {
  std::vector<std::uint8_t> levels(kMany);
  std::vector<float> expected(kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    levels[i] = static_cast<std::uint8_t>(i);
    expected[i] = static_cast<float>(levels[i]) / 127.5F - 1.0F;
  }
  EXPECT_EQ(OnDevice<float>(levels, LaunchPixelsToFloat), expected);
}

TEST_F(PixelsCuda, TurnsFloatsIntoBytesWithHalvesToEven) {
  std::vector<float> values(kMany);
  std::vector<std::uint8_t> expected(kMany);
  for (std::size_t i = 0; i < kMany; ++i) {
    const float level = static_cast<float>(i % 1200) / 4 - 20;
    values[i] = level / 127.5F - 1.0F;
    const float back = (values[i] + 1.0F) * 127.5F;
    expected[i] = static_cast<std::uint8_t>(std::nearbyint(std::fmin(std::fmax(back, 0), 255)));
  }
  values[7] = std::numeric_limits<float>::quiet_NaN();
  expected[7] = 0;
  values[8] = std::numeric_limits<float>::infinity();
  expected[8] = 255;
  EXPECT_EQ(OnDevice<std::uint8_t>(values, LaunchFloatToPixels), expected);
}

TEST_F(PixelsCuda, TurnsBfloat16IntoBytes) {
  // -1, -0.5, 0, 0.5, 1, 2, NaN
  const std::vector<std::uint16_t> values = {0xbf80, 0xbf00, 0, 0x3f00, 0x3f80, 0x4000, 0x7fc0};
  const std::vector<std::uint8_t> expected = {0, 64, 128, 191, 255, 255, 0};
  EXPECT_EQ(OnDevice<std::uint8_t>(values, LaunchBfloat16ToPixels), expected);
}

}  // namespace
}  // namespace atelier::kernels
