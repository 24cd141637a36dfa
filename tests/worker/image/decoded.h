// A picture file that must be good.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "worker/image/codec.h"

namespace atelier::image::testing {

inline DecodedImage Decoded(const std::string& bytes) {
  absl::StatusOr<DecodedImage> image = DecodeImage(bytes);
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? *std::move(image) : DecodedImage();
}

}  // namespace atelier::image::testing
