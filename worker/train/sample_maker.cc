#include "worker/train/sample_maker.h"

#include <cmath>

#include "common/check.h"
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

int ContentSide(int image_size) { return static_cast<int>(std::lround(image_size * kZoom)); }

SampleMaker::SampleMaker(const TrainConfig& config, BatchKind kind, const ImageFolder& content,
                         const ImageFolder* style)
    : config_(config), kind_(kind), content_(content), style_(style) {
  ATELIER_CHECK(kind != BatchKind::kUnpaired || style != nullptr);
}

absl::StatusOr<Sample> SampleMaker::Make(const SamplePlan& plan) const {
  // Of the content set, 0, and of the style set, 1.
  const auto key = [&](std::int64_t set, Purpose purpose) {
    return KeyedRandom(config_.seed, plan.sample, set, purpose);
  };
  const auto crop = [&](const std::vector<torch::Tensor>& from, std::int64_t set) {
    return Crop(config_, from, key(set, Purpose::kContentCrop),
                DrawWarp(config_.augment, key(set, Purpose::kAugment)));
  };
  ATELIER_ASSIGN_OR_RETURN(const ImageFolder::Loaded loaded,
                           content_.LoadOrReplace(plan.content, key(0, Purpose::kReplacement)));
  Sample made;
  made.label = content_.label(loaded.place);
  made.place = loaded.place;
  if (kind_ == BatchKind::kSideBySide) {
    const std::int64_t width = loaded.pixels.size(1) / 2;
    const auto halves =
        crop({loaded.pixels.narrow(1, 0, width), loaded.pixels.narrow(1, width, width)}, 0);
    made.content = halves[0];
    made.target = halves[1];
    return made;
  }
  made.content = crop({loaded.pixels}, 0)[0];
  if (kind_ == BatchKind::kEdges) {
    made.target = made.content;
    made.content = image::DrawEdges(made.target);
    if (image::IsEmptyDrawing(made.content)) {
      content_.NoteWithoutEdges(loaded.place);
    }
  } else if (kind_ == BatchKind::kUnpaired) {
    ATELIER_ASSIGN_OR_RETURN(const ImageFolder::Loaded other,
                             style_->LoadOrReplace(plan.style, key(1, Purpose::kReplacement)));
    made.target_place = other.place;
    made.target = crop({other.pixels}, 1)[0];
  }
  return made;
}

Batch MakeBatch(const std::vector<Sample>& samples, std::int64_t first_sample) {
  Batch batch;
  std::vector<torch::Tensor> contents;
  std::vector<torch::Tensor> targets;
  std::vector<std::int64_t> labels;
  for (const Sample& sample : samples) {
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
  batch.first_sample = first_sample;
  return batch;
}

}  // namespace atelier::train
