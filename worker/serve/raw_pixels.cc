#include "worker/serve/raw_pixels.h"

#include <ATen/ATen.h>

#include <bit>
#include <cstring>
#include <string>

#include "common/errors.h"
#include "common/image_header.h"

namespace atelier::worker {
namespace {

static_assert(std::endian::native == std::endian::little, "fp32 pictures are little-endian");

bool IsSide(std::uint32_t side) { return side >= kMinImageSide && side <= kMaxImageSide; }

at::Tensor CopyOf(std::string_view bytes, at::IntArrayRef shape, at::ScalarType type) {
  at::Tensor tensor = at::empty(shape, type);
  std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

std::string BytesOf(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  return {static_cast<const char*>(whole.const_data_ptr()), whole.nbytes()};
}

}  // namespace

std::uint64_t RawBytes(PixelLayout layout, std::uint32_t width, std::uint32_t height) {
  if (!IsSide(width) || !IsSide(height)) {
    return 0;
  }
  const std::uint64_t value = layout == PixelLayout::kFp32Chw ? sizeof(float) : 1;
  return 3 * value * width * height;
}

absl::StatusOr<at::Tensor> FromRawPixels(PixelLayout layout, std::uint32_t width,
                                         std::uint32_t height, std::string_view bytes) {
  if (!IsSide(width) || !IsSide(height)) {
    return InvalidField("image", "is " + std::to_string(width) + " x " + std::to_string(height) +
                                     " pixels; sides must be from 16 to 4096");
  }
  const std::uint64_t expected = RawBytes(layout, width, height);
  if (bytes.size() != expected) {
    return InvalidField("image", "has " + std::to_string(bytes.size()) + " bytes; " +
                                     std::to_string(width) + " x " + std::to_string(height) +
                                     " pixels take " + std::to_string(expected));
  }
  const std::int64_t w = width;
  const std::int64_t h = height;
  if (layout == PixelLayout::kUint8Hwc) {
    return CopyOf(bytes, {h, w, 3}, at::kByte);
  }
  const at::Tensor steps = CopyOf(bytes, {3, h, w}, at::kFloat).mul_(255).round_();
  const at::Tensor in_range = at::logical_and(steps >= 0, steps <= 255);  // false for a NaN
  if (!in_range.all().item<bool>()) {
    return InvalidField("image", "must have values from 0 to 1");
  }
  return steps.to(at::kByte).permute({1, 2, 0}).contiguous();
}

std::string ToRawPixels(PixelLayout layout, const at::Tensor& rgb) {
  if (layout == PixelLayout::kUint8Hwc) {
    return BytesOf(rgb);
  }
  return BytesOf(rgb.permute({2, 0, 1}).to(at::kFloat).div_(255));
}

}  // namespace atelier::worker
