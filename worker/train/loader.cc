#include "worker/train/loader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/check.h"
#include "common/family.h"
#include "common/status_macros.h"
#include "worker/image/edges.h"
#include "worker/image/resize.h"
#include "worker/kernels/pixels.h"
#include "worker/train/augment.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

constexpr double kZoom = 1.25;

// The same zoom, crop and warp for every picture of a list, uint8 [H, W, 3] of equal size.
std::vector<torch::Tensor> Crop(const TrainConfig& config, const std::vector<torch::Tensor>& from,
                                KeyedRandom random, const Warp& warp) {
  const int image_size = config.image_size;
  // Pictures are stored at the largest zoom; shrinking shows more of the garment.
  const int side =
      image_size + static_cast<int>(random.Below(ContentSide(image_size) - image_size + 1));
  const image::Size size = image::FitShortSide(
      {static_cast<int>(from[0].size(0)), static_cast<int>(from[0].size(1))}, side);
  const Window window = {.top = static_cast<int>(random.Below(size.height - image_size + 1)),
                         .left = static_cast<int>(random.Below(size.width - image_size + 1)),
                         .height = image_size,
                         .width = image_size};
  std::vector<torch::Tensor> crops;
  for (const torch::Tensor& picture : from) {
    crops.push_back(ApplyWarp(image::Resize(picture, size.height, size.width), window, warp,
                              config.augment.reflect));
  }
  return crops;
}

}  // namespace

EpochOrder::EpochOrder(std::uint64_t seed, std::int64_t size, std::int64_t set)
    : seed_(seed), set_(set), order_(static_cast<std::size_t>(size)) {
  ATELIER_CHECK(size >= 1);
}

std::int64_t EpochOrder::At(std::int64_t sample) {
  const auto size = static_cast<std::int64_t>(order_.size());
  const std::int64_t epoch = sample / size;
  if (epoch != epoch_) {
    epoch_ = epoch;
    order_ = KeyedOrder(size, KeyedRandom(seed_, epoch, set_, Purpose::kShuffle));
  }
  return order_[sample % size];
}

std::int64_t SamplesAStep(const TrainConfig& config) {
  const Family* family = FindFamily(config.family);
  const int turns = family != nullptr && family->from_noise ? config.gan.steps : 1;
  return static_cast<std::int64_t>(config.batch_size) * config.accumulate * turns;
}

int ContentSide(int image_size) { return static_cast<int>(std::lround(image_size * kZoom)); }

BatchLoader::BatchLoader(const TrainConfig& config, BatchKind kind, const ImageFolder& content,
                         const ImageFolder* style, const Resampling& resampling)
    : config_(config),
      kind_(kind),
      samples_a_step_(SamplesAStep(config)),
      content_(content),
      style_(style),
      resampling_(resampling),
      order_(config.seed, content.size()),
      style_order_(config.seed, style == nullptr ? 1 : style->size(), 1) {
  ATELIER_CHECK(kind != BatchKind::kUnpaired || style != nullptr);
}

BatchLoader::~BatchLoader() {
  if (next_.valid()) {
    next_.wait();
  }
}

absl::StatusOr<Batch> BatchLoader::Get(std::int64_t step) {
  absl::StatusOr<Batch> batch =
      next_.valid() && next_step_ == step ? next_.get() : Make(step, SamplersOf(step));
  next_step_ = step + 1;
  next_ = std::async(std::launch::async, [this, step, samplers = SamplersOf(step + 1)] {
    return Make(step + 1, samplers);
  });
  return batch;
}

BatchLoader::Samplers BatchLoader::SamplersOf(std::int64_t step) const {
  const auto of = [step](const ScoreResampling* resampling) {
    return resampling == nullptr ? nullptr : resampling->For(step);
  };
  return {.content = of(resampling_.content), .style = of(resampling_.style)};
}

absl::StatusOr<Batch> BatchLoader::Make(std::int64_t step, const Samplers& samplers) {
  if (kind_ == BatchKind::kNone) {
    Batch nothing;
    nothing.first_sample = step * samples_a_step_;
    return nothing;
  }
  Batch batch;
  std::vector<torch::Tensor> contents;
  std::vector<torch::Tensor> targets;
  std::vector<std::int64_t> labels;
  for (std::int64_t i = 0; i < samples_a_step_; ++i) {
    ATELIER_ASSIGN_OR_RETURN(const Sample sample, MakeSample(step * samples_a_step_ + i, samplers));
    contents.push_back(sample.content);
    if (sample.target.defined()) {
      targets.push_back(sample.target);
    }
    labels.push_back(sample.label);
    batch.content_places.push_back(sample.place);
    if (sample.target_place >= 0) {
      batch.target_places.push_back(sample.target_place);
    }
  }
  batch.content = kernels::PixelsToTensor(torch::stack(contents));
  if (!targets.empty()) {
    batch.target = kernels::PixelsToTensor(torch::stack(targets));
  }
  batch.labels = torch::tensor(labels, torch::kInt64);
  batch.first_sample = step * samples_a_step_;
  return batch;
}

absl::StatusOr<BatchLoader::Sample> BatchLoader::MakeSample(std::int64_t sample,
                                                            const Samplers& samplers) {
  const std::int64_t index =
      samplers.content == nullptr ? order_.At(sample) : samplers.content->At(sample);
  ATELIER_ASSIGN_OR_RETURN(const torch::Tensor picture, content_.Load(index));
  const KeyedRandom random(config_.seed, sample, 0, Purpose::kContentCrop);
  const Warp warp =
      DrawWarp(config_.augment, KeyedRandom(config_.seed, sample, 0, Purpose::kAugment));
  Sample made;
  made.label = content_.label(index);
  made.place = index;
  if (kind_ == BatchKind::kSideBySide) {
    const std::int64_t width = picture.size(1) / 2;
    const auto halves =
        Crop(config_, {picture.narrow(1, 0, width), picture.narrow(1, width, width)}, random, warp);
    made.content = halves[0];
    made.target = halves[1];
    return made;
  }
  made.content = Crop(config_, {picture}, random, warp)[0];
  if (kind_ == BatchKind::kEdges) {
    made.target = made.content;
    made.content = image::DrawEdges(made.target);
  } else if (kind_ == BatchKind::kUnpaired) {
    made.target_place =
        samplers.style == nullptr ? style_order_.At(sample) : samplers.style->At(sample);
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor other, style_->Load(made.target_place));
    const KeyedRandom style_random(config_.seed, sample, 1, Purpose::kContentCrop);
    const Warp style_warp =
        DrawWarp(config_.augment, KeyedRandom(config_.seed, sample, 1, Purpose::kAugment));
    made.target = Crop(config_, {other}, style_random, style_warp)[0];
  }
  return made;
}

}  // namespace atelier::train
