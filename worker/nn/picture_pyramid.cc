#include "worker/nn/picture_pyramid.h"

#include <torch/torch.h>

#include <string>

#include "common/check.h"

namespace atelier::nn {
namespace {

constexpr int kPyramidLevels = 6;

}  // namespace

PicturePyramid::PicturePyramid(const torch::Tensor& photo) : photo_(photo) {
  ATELIER_CHECK(photo.dim() == 4 && photo.size(0) == 1 && photo.size(1) == 3);
  std::int64_t height = photo.size(2);
  std::int64_t width = photo.size(3);
  for (int level = 0; level < kPyramidLevels; ++level) {
    levels_.push_back(register_parameter("level_" + std::to_string(level),
                                         torch::zeros({1, 3, height, width}, photo.options())));
    height = (height + 1) / 2;
    width = (width + 1) / 2;
  }
}

torch::Tensor PicturePyramid::Picture() const {
  torch::Tensor picture = photo_ + levels_.front();
  for (std::size_t level = 1; level < levels_.size(); ++level) {
    picture = picture + torch::upsample_bilinear2d(levels_[level], {photo_.size(2), photo_.size(3)},
                                                   /*align_corners=*/false);
  }
  return picture.clamp(-1, 1);
}

}  // namespace atelier::nn
