#include "worker/train/loader.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/image/resize.h"
#include "worker/kernels/pixels.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

constexpr double kZoom = 1.25;

}  // namespace

EpochOrder::EpochOrder(std::uint64_t seed, std::int64_t size)
    : seed_(seed), order_(static_cast<std::size_t>(size)) {
  ATELIER_CHECK(size >= 1);
}

std::int64_t EpochOrder::At(std::int64_t sample) {
  const auto size = static_cast<std::int64_t>(order_.size());
  const std::int64_t epoch = sample / size;
  if (epoch != epoch_) {
    epoch_ = epoch;
    std::iota(order_.begin(), order_.end(), 0);
    KeyedRandom random(seed_, epoch, 0, Purpose::kShuffle);
    for (std::int64_t i = size - 1; i > 0; --i) {
      std::swap(order_[i], order_[random.Below(i + 1)]);
    }
  }
  return order_[sample % size];
}

int ContentSide(int image_size) { return static_cast<int>(std::lround(image_size * kZoom)); }

BatchLoader::BatchLoader(const TrainConfig& config, const ImageFolder& content)
    : batch_size_(config.batch_size),
      image_size_(config.image_size),
      seed_(config.seed),
      content_(content),
      order_(config.seed, content.size()) {}

BatchLoader::~BatchLoader() {
  if (next_.valid()) {
    next_.wait();
  }
}

absl::StatusOr<torch::Tensor> BatchLoader::Get(std::int64_t step) {
  absl::StatusOr<torch::Tensor> batch =
      next_.valid() && next_step_ == step ? next_.get() : Make(step);
  next_step_ = step + 1;
  next_ = std::async(std::launch::async, [this, step] { return Make(step + 1); });
  return batch;
}

absl::StatusOr<torch::Tensor> BatchLoader::Make(std::int64_t step) {
  std::vector<torch::Tensor> crops;
  for (std::int64_t i = 0; i < batch_size_; ++i) {
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor picture,
                             content_.Load(order_.At(step * batch_size_ + i)));
    crops.push_back(Crop(picture, step, i));
  }
  return kernels::PixelsToTensor(torch::stack(crops));
}

torch::Tensor BatchLoader::Crop(const torch::Tensor& picture, std::int64_t step,
                                std::int64_t sample) const {
  KeyedRandom random(seed_, step, sample, Purpose::kContentCrop);
  // Pictures are stored at the largest zoom; shrinking shows more of the garment.
  const int side =
      image_size_ + static_cast<int>(random.Below(ContentSide(image_size_) - image_size_ + 1));
  const image::Size size = image::FitShortSide(
      {static_cast<int>(picture.size(0)), static_cast<int>(picture.size(1))}, side);
  torch::Tensor crop = image::Resize(picture, size.height, size.width);
  crop = crop.narrow(0, random.Below(size.height - image_size_ + 1), image_size_)
             .narrow(1, random.Below(size.width - image_size_ + 1), image_size_);
  return random.Below(2) == 1 ? crop.flip(1) : crop.contiguous();
}

}  // namespace atelier::train
