#include "worker/image/codec.h"

#include <new>
#include <opencv2/core.hpp>
#include <utility>

#include "absl/status/status.h"
#include "common/check.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/image/exif.h"
#include "worker/image/icc.h"
#include "worker/image/jpeg.h"
#include "worker/image/mat_tensor.h"
#include "worker/image/png.h"
#include "worker/image/raw_image.h"
#include "worker/image/webp.h"

namespace atelier::image {

absl::Status TruncatedImage(const char* format) {
  return InvalidField("image", std::string("is a ") + format +
                                   " file that ends before its pixels do; send the whole file");
}

absl::Status DamagedImage(const char* format) {
  return InvalidField("image",
                      std::string("is a damaged ") + format + " file; save the picture again");
}

absl::Status OutOfMemory() {
  return absl::ResourceExhaustedError("out of memory while working on the picture; try again");
}

namespace {

absl::StatusOr<RawImage> DecodeFormat(std::string_view bytes, const ImageHeader& header) {
  switch (header.format) {
    case ImageFormat::kJpeg:
      return DecodeJpeg(bytes, header);
    case ImageFormat::kPng:
      return DecodePng(bytes, header);
    case ImageFormat::kWebp:
      return DecodeWebp(bytes, header);
  }
  return absl::InternalError("unknown image format");
}

// Colours to sRGB by the embedded profile if it can be used, with a warning if it cannot.
cv::Mat ToSrgb(RawImage& raw) {
  if (!raw.icc_profile.empty()) {
    absl::StatusOr<cv::Mat> converted = ConvertToSrgb(raw.pixels, raw.icc_profile);
    if (converted.ok()) {
      return *std::move(converted);
    }
    raw.warnings.emplace_back(converted.status().message());
  }
  if (raw.pixels.channels() == 4) {
    raw.warnings.emplace_back(
        "the picture has CMYK colours without a usable profile; its colours are approximate");
  }
  return AssumeSrgb(raw.pixels);
}

absl::StatusOr<DecodedImage> Decode(std::string_view bytes) {
  ATELIER_ASSIGN_OR_RETURN(const ImageHeader header, ReadImageHeader(bytes));
  ATELIER_ASSIGN_OR_RETURN(RawImage raw, DecodeFormat(bytes, header));
  const cv::Mat rgb = TurnUpright(ToSrgb(raw), raw.orientation);
  DecodedImage image{TensorOver(rgb), {}, header.format, std::move(raw.warnings)};
  if (!raw.alpha.empty()) {
    image.alpha = TensorOver(TurnUpright(raw.alpha, raw.orientation));
  }
  return image;
}

cv::Mat CompositeOverWhite(const cv::Mat& rgb, const cv::Mat& alpha) {
  cv::Mat composed(rgb.rows, rgb.cols, CV_8UC3);
  for (int row = 0; row < rgb.rows; ++row) {
    const unsigned char* in = rgb.ptr(row);
    const unsigned char* opacity = alpha.ptr(row);
    unsigned char* out = composed.ptr(row);
    for (int i = 0; i < rgb.cols * 3; ++i) {
      const int share = opacity[i / 3];
      out[i] = static_cast<unsigned char>((in[i] * share + 255 * (255 - share) + 127) / 255);
    }
  }
  return composed;
}

absl::StatusOr<std::string> Encode(const cv::Mat& rgb, const cv::Mat& alpha,
                                   const EncodeOptions& options) {
  switch (options.format) {
    case ImageFormat::kJpeg:
      return EncodeJpeg(alpha.empty() ? rgb : CompositeOverWhite(rgb, alpha), options.quality);
    case ImageFormat::kPng:
      return EncodePng(rgb, alpha);
    case ImageFormat::kWebp:
      return EncodeWebp(rgb, alpha, options.quality);
  }
  return absl::InternalError("unknown image format");
}

// The edge to OpenCV: its exceptions end here.
template <typename Work>
auto Guarded(const absl::Status& failure, const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const cv::Exception& exception) {
    return exception.code == cv::Error::StsNoMem ? OutOfMemory() : failure;
  } catch (const std::bad_alloc&) {
    return OutOfMemory();
  }
}

}  // namespace

absl::StatusOr<DecodedImage> DecodeImage(std::string_view bytes) {
  return Guarded(DamagedImage("picture"), [&] { return Decode(bytes); });
}

absl::StatusOr<std::string> EncodeImage(const at::Tensor& rgb, const at::Tensor& alpha,
                                        const EncodeOptions& options) {
  ATELIER_CHECK(rgb.dim() == 3 && rgb.size(2) == 3);
  ATELIER_CHECK(options.quality >= 1 && options.quality <= 100);
  const at::Tensor pixels = rgb.contiguous();
  const at::Tensor opacity = alpha.defined() ? alpha.contiguous() : alpha;
  ATELIER_CHECK(!opacity.defined() || opacity.sizes() == pixels.sizes().slice(0, 2));
  return Guarded(absl::InternalError("the picture could not be encoded"), [&] {
    return Encode(MatOver(pixels), opacity.defined() ? MatOver(opacity) : cv::Mat(), options);
  });
}

}  // namespace atelier::image
