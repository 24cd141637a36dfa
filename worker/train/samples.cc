#include "worker/train/samples.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "worker/image/codec.h"
#include "worker/image/edges.h"
#include "worker/image/resize.h"
#include "worker/kernels/pixels.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

constexpr std::size_t kMaxJpegBytes = 256 << 10;

enum class PairPart { kInput, kTarget };

// `count` of `places`, each once; all of them where they are fewer.
std::vector<std::int64_t> DrawDifferent(std::vector<std::int64_t> places, int count,
                                        KeyedRandom random) {
  const auto size = static_cast<std::int64_t>(places.size());
  const std::int64_t drawn = std::min<std::int64_t>(count, size);
  for (std::int64_t i = 0; i < drawn; ++i) {
    std::swap(places[static_cast<std::size_t>(i)],
              places[static_cast<std::size_t>(i + random.Below(size - i))]);
  }
  places.resize(static_cast<std::size_t>(drawn));
  return places;
}

// Those with `label`; all, where it is below 0.
std::vector<std::int64_t> PlacesOf(const ImageFolder& folder, std::int64_t label) {
  std::vector<std::int64_t> places;
  for (std::int64_t i = 0; i < folder.size(); ++i) {
    if (label < 0 || folder.label(i) == label) {
      places.push_back(i);
    }
  }
  return places;
}

absl::StatusOr<torch::Tensor> Crops(const TrainConfig& config, BatchKind kind, PairPart part,
                                    const ImageFolder& folder,
                                    const std::vector<std::int64_t>& places) {
  std::vector<torch::Tensor> pictures;
  for (const std::int64_t place : places) {
    ATELIER_ASSIGN_OR_RETURN(torch::Tensor picture, folder.Load(place));
    if (kind == BatchKind::kSideBySide) {
      const std::int64_t half = picture.size(1) / 2;
      picture = picture.narrow(1, part == PairPart::kInput ? 0 : half, half);
    }
    picture = CentreCrop(picture, config.image_size);
    const bool drawn = kind == BatchKind::kEdges && part == PairPart::kInput;
    pictures.push_back(drawn ? image::DrawEdges(picture) : picture);
  }
  return kernels::PixelsToTensor(torch::stack(pictures));
}

}  // namespace

torch::Tensor CentreCrop(const torch::Tensor& picture, int side) {
  const image::Size size = image::FitShortSide(
      {static_cast<int>(picture.size(0)), static_cast<int>(picture.size(1))}, side);
  const torch::Tensor small = image::Resize(picture, size.height, size.width);
  return small.narrow(0, (size.height - side) / 2, side)
      .narrow(1, (size.width - side) / 2, side)
      .contiguous();
}

absl::StatusOr<torch::Tensor> PickSamples(const TrainConfig& config, BatchKind kind,
                                          const ImageFolder& content, int count) {
  return Crops(config, kind, PairPart::kInput, content,
               DrawDifferent(PlacesOf(content, -1), count,
                             KeyedRandom(config.seed, 0, 0, Purpose::kSamples)));
}

absl::StatusOr<torch::Tensor> PickTargets(const TrainConfig& config, BatchKind kind,
                                          const ImageFolder& content, const ImageFolder* style,
                                          std::int64_t label, int count) {
  const ImageFolder& folder = style != nullptr ? *style : content;
  const std::vector<std::int64_t> places = DrawDifferent(
      PlacesOf(folder, label), count, KeyedRandom(config.seed, 0, 1, Purpose::kSamples));
  if (places.size() < 2) {
    return PickSamples(config, kind, content, count);
  }
  return Crops(config, style != nullptr ? BatchKind::kContent : kind, PairPart::kTarget, folder,
               places);
}

absl::StatusOr<std::string> SampleGrid(const std::vector<torch::Tensor>& rows) {
  std::vector<torch::Tensor> strips;
  for (const torch::Tensor& row : rows) {
    strips.push_back(torch::cat(kernels::TensorToPixels(row.to(torch::kFloat)).unbind(0), 1));
  }
  const torch::Tensor grid = torch::cat(strips, 0);
  for (int quality = 90; quality > 10; quality -= 20) {
    ATELIER_ASSIGN_OR_RETURN(
        std::string jpeg,
        image::EncodeImage(grid, {}, {.format = ImageFormat::kJpeg, .quality = quality}));
    if (jpeg.size() <= kMaxJpegBytes) {
      return jpeg;
    }
  }
  const image::Size half{static_cast<int>(grid.size(0) / 2), static_cast<int>(grid.size(1) / 2)};
  return image::EncodeImage(image::Resize(grid, half.height, half.width), {},
                            {.format = ImageFormat::kJpeg, .quality = 50});
}

}  // namespace atelier::train
