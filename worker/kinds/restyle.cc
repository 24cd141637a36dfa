#include "worker/kinds/restyle.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "common/errors.h"
#include "common/status_macros.h"
#include "worker/image/codec.h"
#include "worker/image/color.h"
#include "worker/image/resize.h"
#include "worker/infer/gatys_stylizer.h"

namespace atelier::kinds {
namespace {

image::Size SizeOf(const at::Tensor& pixels) {
  return {.height = static_cast<int>(pixels.size(0)), .width = static_cast<int>(pixels.size(1))};
}

// Before the model, so that the style's strokes have the width they were trained for.
absl::Status BringToSize(image::DecodedImage& photo, int long_side) {
  const image::Size size = SizeOf(photo.rgb);
  if (long_side == 0 || long_side == std::max(size.height, size.width)) {
    return absl::OkStatus();
  }
  const image::Size wanted = image::FitLongSide(size, long_side);
  const int short_side = std::min(wanted.height, wanted.width);
  if (short_side < kMinImageSide) {
    return InvalidField("image", "its short side would be " + std::to_string(short_side) +
                                     " pixels, below " + std::to_string(kMinImageSide));
  }
  photo.rgb = image::Resize(photo.rgb, wanted.height, wanted.width);
  if (photo.alpha.defined()) {
    photo.alpha = image::Resize(photo.alpha, wanted.height, wanted.width);
  }
  return absl::OkStatus();
}

// The long side of the result; 0: the picture's.
int LongSide(const infer::Stylizer& stylizer, const at::Tensor& photo, int wanted) {
  const image::Size size = SizeOf(photo);
  const bool too_large = infer::OptimisesPixels(stylizer.spec()) &&
                         std::max(size.height, size.width) > infer::kMaxGatysSide;
  return wanted == 0 && too_large ? infer::kMaxGatysSide : wanted;
}

}  // namespace

absl::StatusOr<std::string> Restyle(infer::Stylizer& stylizer, std::string_view picture,
                                    const StylizeSetConfig& config,
                                    const std::function<absl::Status()>& still_wanted) {
  ATELIER_ASSIGN_OR_RETURN(image::DecodedImage photo, image::DecodeImage(picture));
  ATELIER_RETURN_IF_ERROR(BringToSize(photo, LongSide(stylizer, photo.rgb, config.size)));
  at::Tensor styled = photo.rgb;
  if (config.strength > 0) {
    infer::StylizeControls controls;
    controls.precision = config.precision.value_or(stylizer.spec().default_precision);
    controls.still_wanted = still_wanted;
    ATELIER_ASSIGN_OR_RETURN(styled, stylizer.Stylize(photo.rgb.unsqueeze(0), controls));
    styled = styled.squeeze(0);
    if (config.preserve_color) {
      styled = image::PreserveColor(photo.rgb, styled);
    }
    if (config.strength < 1) {
      styled = image::Blend(photo.rgb, styled, config.strength);
    }
  }
  const ImageFormat format = config.format.value_or(photo.format);
  ATELIER_ASSIGN_OR_RETURN(
      std::string bytes,
      image::EncodeImage(styled, photo.alpha, {.format = format, .quality = config.quality}));
  if (bytes.size() > kMaxImageBytes) {
    return InvalidField("image", std::string("its result would be larger than 32 MiB as ") +
                                     ImageFormatName(format) + "; ask for jpeg or webp");
  }
  return bytes;
}

}  // namespace atelier::kinds
