#include "worker/serve/raw_pixels.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "common/errors.h"

namespace atelier::worker {
namespace {

constexpr PixelLayout kUint8 = PixelLayout::kUint8Hwc;
constexpr PixelLayout kFp32 = PixelLayout::kFp32Chw;

// 17 x 16 pixels, every value from 0 to 255 among them.
at::Tensor Picture() {
  return at::arange(17 * 16 * 3, at::kInt).remainder(256).to(at::kByte).view({17, 16, 3});
}

std::string Floats(float value, std::size_t count) {
  const std::vector<float> values(count, value);
  return {reinterpret_cast<const char*>(values.data()), count * sizeof(float)};
}

TEST(RawPixels, BothLayoutsComeBackAsTheyWent) {
  const at::Tensor picture = Picture();
  for (const PixelLayout layout : {kUint8, kFp32}) {
    const std::string bytes = ToRawPixels(layout, picture);
    EXPECT_EQ(bytes.size(), RawBytes(layout, 16, 17));
    const auto read = FromRawPixels(layout, 16, 17, bytes);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(read->is_contiguous());
    EXPECT_TRUE(at::equal(*read, picture));
  }
}

TEST(RawPixels, UInt8LiesRowByRowRedFirst) {
  const std::string bytes = ToRawPixels(kUint8, Picture());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    ASSERT_EQ(static_cast<std::uint8_t>(bytes[i]), i % 256);
  }
}

TEST(RawPixels, Fp32LiesPlaneByPlaneFrom0To1) {
  at::Tensor picture = at::zeros({16, 16, 3}, at::kByte);
  picture.select(2, 1).fill_(255);
  const std::string bytes = ToRawPixels(kFp32, picture);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  EXPECT_EQ(values[0], 0);
  EXPECT_EQ(values[256], 1);
  EXPECT_EQ(values[2 * 256 - 1], 1);
  EXPECT_EQ(values[2 * 256], 0);
}

TEST(RawPixels, ValuesThatAreNoPictureAreRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float value : {nan, infinity, -infinity, -0.1F, 1.1F, 255.0F}) {
    const auto read = FromRawPixels(kFp32, 16, 16, Floats(value, 768));
    EXPECT_EQ(FieldOf(read.status()), "image") << value;
  }
  // What a resize may leave of a white or a black pixel.
  for (const float value : {-0.001F, 1.001F}) {
    EXPECT_TRUE(FromRawPixels(kFp32, 16, 16, Floats(value, 768)).ok()) << value;
  }
}

TEST(RawPixels, BytesThatDisagreeWithTheSizeAreRefused) {
  const std::string right(16 * 16 * 3, '\0');
  EXPECT_TRUE(FromRawPixels(kUint8, 16, 16, right).ok());
  for (const std::string& bytes :
       {std::string(), right.substr(1), right + '\0', Floats(0, 16 * 16 * 3)}) {
    const auto read = FromRawPixels(kUint8, 16, 16, bytes);
    EXPECT_EQ(FieldOf(read.status()), "image") << bytes.size();
  }
  EXPECT_EQ(FieldOf(FromRawPixels(kFp32, 16, 16, right).status()), "image");
}

TEST(RawPixels, SidesAreFrom16To4096) {
  constexpr std::uint32_t kHuge = std::numeric_limits<std::uint32_t>::max();
  for (const auto& [width, height] :
       std::vector<std::pair<std::uint32_t, std::uint32_t>>{{0, 16},
                                                            {16, 0},
                                                            {15, 16},
                                                            {16, 4097},
                                                            // A product that wraps round to 0.
                                                            {1U << 31U, 1U << 31U},
                                                            {kHuge, kHuge}}) {
    EXPECT_EQ(RawBytes(kFp32, width, height), 0);
    EXPECT_EQ(FieldOf(FromRawPixels(kFp32, width, height, "").status()), "image");
  }
  EXPECT_TRUE(FromRawPixels(kUint8, 4096, 16, std::string(4096 * 16 * 3, '\0')).ok());
}

}  // namespace
}  // namespace atelier::worker
