#include "worker/train/style_set.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "common/status_macros.h"
#include "worker/image/resize.h"
#include "worker/kernels/pixels.h"
#include "worker/train/losses.h"
#include "worker/train/saved_state.h"

namespace atelier::train {
namespace {

constexpr double kEdge = 0.04;
constexpr std::int64_t kColors = 8192;
// Result and palette are compared pixel by pixel after smoothing by the network; without this the
// palette comes out duller.
constexpr double kSaturation = 1.15;

torch::Tensor CutEdges(const torch::Tensor& picture) {
  const auto top = static_cast<std::int64_t>(std::floor(kEdge * picture.size(0)));
  const auto left = static_cast<std::int64_t>(std::floor(kEdge * picture.size(1)));
  return picture.narrow(0, top, picture.size(0) - 2 * top)
      .narrow(1, left, picture.size(1) - 2 * left)
      .contiguous();
}

torch::Tensor ToShortSide(const torch::Tensor& picture, int side) {
  const image::Size size = image::FitShortSide(
      {static_cast<int>(picture.size(0)), static_cast<int>(picture.size(1))}, side);
  return image::Resize(picture, size.height, size.width);
}

torch::Tensor Palette(const torch::Tensor& picture) {
  const torch::Tensor pixels = picture.reshape({-1, 3});
  const std::int64_t stride = std::max<std::int64_t>(1, pixels.size(0) / kColors);
  const torch::Tensor colors =
      pixels.slice(0, 0, std::nullopt, stride).to(torch::kFloat32).t() / 127.5 - 1.0;
  const torch::Tensor luma = 0.299 * colors[0] + 0.587 * colors[1] + 0.114 * colors[2];
  return (luma + (colors - luma) * kSaturation).clamp(-1.0, 1.0).contiguous();
}

}  // namespace

absl::StatusOr<StyleSet> StyleSet::Make(const ImageFolder& folder,
                                        const std::vector<int>& short_sides,
                                        nn::EfficientNetLite& network) {
  torch::NoGradGuard no_grad;
  StyleSet set;
  std::vector<torch::Tensor> palettes;
  for (std::int64_t i = 0; i < folder.size(); ++i) {
    ATELIER_ASSIGN_OR_RETURN(torch::Tensor picture, folder.Load(i));
    picture = CutEdges(picture);
    Painting painting;
    for (const int side : short_sides) {
      Scale scale;
      scale.pixels = ToShortSide(picture, side);
      const auto features = network.Features(
          kernels::PixelsToTensor(scale.pixels.unsqueeze(0).to(DeviceOf(network))));
      for (std::size_t layer = 0; layer < kFeatureLayers; ++layer) {
        scale.grams[layer] = Gram(features[layer]).squeeze(0);
      }
      painting.scales.push_back(scale);
    }
    painting.label = folder.label(i);
    painting.colors = Palette(painting.scales.front().pixels);
    palettes.push_back(painting.colors);
    set.paintings_.push_back(painting);
  }
  set.colors_ = torch::cat(palettes, 1);
  return set;
}

}  // namespace atelier::train
