// How the pixels of a picture lie in bytes. The numbers are those of internal.v1.PixelLayout.
#pragma once

namespace atelier {

enum class PixelLayout {
  kEncoded = 0,   // JPEG, PNG or WebP
  kUint8Hwc = 1,  // height x width x 3 bytes, red first, sRGB
  kFp32Chw = 2,   // 3 x height x width little-endian fp32, red first, sRGB from 0 to 1
};

}  // namespace atelier
