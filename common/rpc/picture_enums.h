// The contract's enums of pictures ↔ ours. Free of gRPC, header only: the link's codec includes it
// and has to run without gRPC under the thread sanitizer. Pure functions, thread-safe.
#pragma once

#include <optional>

#include "atelier/v1/types.pb.h"
#include "common/image_header.h"
#include "common/train_config.h"

namespace atelier {

// Nothing becomes UNSPECIFIED.
inline v1::ImageFormat ToProto(std::optional<ImageFormat> format) {
  if (!format.has_value()) {
    return v1::IMAGE_FORMAT_UNSPECIFIED;
  }
  switch (*format) {
    case ImageFormat::kJpeg:
      return v1::IMAGE_FORMAT_JPEG;
    case ImageFormat::kPng:
      return v1::IMAGE_FORMAT_PNG;
    case ImageFormat::kWebp:
      return v1::IMAGE_FORMAT_WEBP;
  }
  return v1::IMAGE_FORMAT_UNSPECIFIED;
}

// Nothing for UNSPECIFIED and for values of a later contract.
inline std::optional<ImageFormat> FromProto(v1::ImageFormat format) {
  switch (format) {
    case v1::IMAGE_FORMAT_JPEG:
      return ImageFormat::kJpeg;
    case v1::IMAGE_FORMAT_PNG:
      return ImageFormat::kPng;
    case v1::IMAGE_FORMAT_WEBP:
      return ImageFormat::kWebp;
    default:
      return std::nullopt;
  }
}

inline v1::Precision ToProto(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return v1::PRECISION_FP32;
    case Precision::kBf16:
      return v1::PRECISION_BF16;
    case Precision::kFp16:
      return v1::PRECISION_FP16;
    case Precision::kInt8:
      return v1::PRECISION_INT8;
  }
  return v1::PRECISION_UNSPECIFIED;
}

// Nothing for UNSPECIFIED and for values of a later contract.
inline std::optional<Precision> FromProto(v1::Precision precision) {
  switch (precision) {
    case v1::PRECISION_FP32:
      return Precision::kFp32;
    case v1::PRECISION_BF16:
      return Precision::kBf16;
    case v1::PRECISION_INT8:
      return Precision::kInt8;
    default:
      return std::nullopt;
  }
}

}  // namespace atelier
