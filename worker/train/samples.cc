#include "worker/train/samples.h"

#include <algorithm>

#include "common/status_macros.h"
#include "worker/image/codec.h"
#include "worker/image/resize.h"
#include "worker/kernels/pixels.h"
#include "worker/train/autocast.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

constexpr std::size_t kMaxJpegBytes = 256 << 10;

torch::Tensor CentreCrop(const torch::Tensor& picture, int side) {
  const image::Size size = image::FitShortSide(
      {static_cast<int>(picture.size(0)), static_cast<int>(picture.size(1))}, side);
  const torch::Tensor small = image::Resize(picture, size.height, size.width);
  return small.narrow(0, (size.height - side) / 2, side)
      .narrow(1, (size.width - side) / 2, side)
      .contiguous();
}

}  // namespace

absl::StatusOr<std::vector<torch::Tensor>> PickSamples(const TrainConfig& config,
                                                       const ImageFolder& content, int count) {
  std::vector<torch::Tensor> pictures;
  KeyedRandom random(config.seed, 0, 0, Purpose::kSamples);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(count, content.size()); ++i) {
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor picture,
                             content.Load(random.Below(content.size())));
    pictures.push_back(CentreCrop(picture, config.image_size));
  }
  return pictures;
}

absl::StatusOr<std::string> SampleGrid(nn::Generator& generator,
                                       const std::vector<torch::Tensor>& pictures,
                                       Precision precision) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> results;
  for (const torch::Tensor& picture : pictures) {
    const Autocast autocast(precision);
    const torch::Tensor result = generator.forward(kernels::PixelsToTensor(picture.unsqueeze(0)));
    results.push_back(kernels::TensorToPixels(result).squeeze(0));
  }
  const torch::Tensor grid = torch::cat({torch::cat(pictures, 1), torch::cat(results, 1)}, 0);
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
