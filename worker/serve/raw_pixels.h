// Pictures that are not encoded (common/pixel_layout.h) ↔ tensors. Pure functions, thread-safe.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/pixel_layout.h"

namespace atelier::worker {

// How many bytes a picture of that size takes; 0 when a side is outside 16..4096.
std::uint64_t RawBytes(PixelLayout layout, std::uint32_t width, std::uint32_t height);

// uint8 [H, W, 3], a copy. fp32 values are rounded to the nearest of 256 steps. INVALID_ARGUMENT
// naming `image`: a side outside 16..4096, more or fewer bytes than the size asks for, or fp32
// values that no step from 0 to 255 is near (a NaN, or a picture from 0 to 255).
absl::StatusOr<at::Tensor> FromRawPixels(PixelLayout layout, std::uint32_t width,
                                         std::uint32_t height, std::string_view bytes);

// uint8 [H, W, 3] in. fp32 results have 256 steps as well: strength, colours and resizing are
// defined on 8 bits, and both layouts and an encoded PNG then say the same picture.
std::string ToRawPixels(PixelLayout layout, const at::Tensor& rgb);

}  // namespace atelier::worker
