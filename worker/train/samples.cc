#include "worker/train/samples.h"

#include <algorithm>
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
  std::vector<torch::Tensor> pictures;
  KeyedRandom random(config.seed, 0, 0, Purpose::kSamples);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(count, content.size()); ++i) {
    ATELIER_ASSIGN_OR_RETURN(torch::Tensor picture, content.Load(random.Below(content.size())));
    if (kind == BatchKind::kSideBySide) {
      picture = picture.narrow(1, 0, picture.size(1) / 2);
    }
    picture = CentreCrop(picture, config.image_size);
    pictures.push_back(kind == BatchKind::kEdges ? image::DrawEdges(picture) : picture);
  }
  return kernels::PixelsToTensor(torch::stack(pictures));
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
