#include "worker/metrics/network_input.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "common/check.h"

namespace atelier::metrics {

InputSize FitShortSide(InputSize size, std::int64_t short_side) {
  const double scale =
      static_cast<double>(short_side) / static_cast<double>(std::min(size.height, size.width));
  const auto scaled = [&](std::int64_t side) {
    const auto rounded =
        static_cast<std::int64_t>(std::nearbyint(static_cast<double>(side) * scale));
    return std::max(short_side, rounded);
  };
  return {scaled(size.height), scaled(size.width)};
}

torch::Tensor ToNetworkInput(const torch::Tensor& picture, InputSize size) {
  ATELIER_CHECK(picture.dim() == 3 && picture.size(2) == 3 &&
                picture.scalar_type() == torch::kByte);
  torch::Tensor pixels = picture.permute({2, 0, 1}).unsqueeze(0).to(torch::kFloat32);
  if (picture.size(0) == size.height && picture.size(1) == size.width) {
    return pixels;
  }
  return at::_upsample_bicubic2d_aa(pixels, {size.height, size.width}, /*align_corners=*/false)
      .clamp(0.0, 255.0);
}

}  // namespace atelier::metrics
