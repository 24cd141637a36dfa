// Makes the batches; the next one is made while the present one is learnt from.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <future>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/train/batch.h"
#include "worker/train/image_folder.h"
#include "worker/train/resampling.h"

namespace atelier::train {

// The order of a data set: every epoch is a permutation keyed by (seed, epoch, set), so each
// picture is seen once an epoch. Not thread-safe.
class EpochOrder {
 public:
  EpochOrder(std::uint64_t seed, std::int64_t size, std::int64_t set = 0);
  // The picture of the n-th sample since the beginning of training.
  std::int64_t At(std::int64_t sample);

 private:
  std::uint64_t seed_;
  std::int64_t set_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_;
};

// The pictures of one step: batch_size * accumulate; a discriminator that learns several times a
// step from noise gets as many for each time.
std::int64_t SamplesAStep(const TrainConfig& config);

// The short side at which pictures are kept for crops of `image_size`: a quarter larger, the range
// of the random zoom.
int ContentSide(int image_size);

// Owned by the training thread. The folders must outlive it; `style` is needed for kUnpaired only.
class BatchLoader {
 public:
  // What draws the pictures of the two sets instead of their epochs' order; null: nothing. They
  // must outlive the loader and are asked on the thread that calls Get.
  struct Resampling {
    const ScoreResampling* content = nullptr;
    const ScoreResampling* style = nullptr;
  };

  BatchLoader(const TrainConfig& config, BatchKind kind, const ImageFolder& content,
              const ImageFolder* style, const Resampling& resampling);
  BatchLoader(const TrainConfig& config, BatchKind kind, const ImageFolder& content,
              const ImageFolder* style)
      : BatchLoader(config, kind, content, style, Resampling()) {}
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  // The samples of step `step`, each with random zoom, crop and flip.
  // Starts making those of step + 1. DATA_LOSS: a file has vanished.
  absl::StatusOr<Batch> Get(std::int64_t step);

 private:
  struct Sample {
    torch::Tensor content;
    torch::Tensor target;
    std::int64_t label = 0;
    std::int64_t place = 0;
    std::int64_t target_place = -1;  // below 0: there is none
  };
  // Of one step; null: by the order of the epoch.
  struct Samplers {
    std::shared_ptr<const WeightedSampler> content;
    std::shared_ptr<const WeightedSampler> style;
  };

  Samplers SamplersOf(std::int64_t step) const;
  absl::StatusOr<Batch> Make(std::int64_t step, const Samplers& samplers);
  absl::StatusOr<Sample> MakeSample(std::int64_t sample, const Samplers& samplers);

  const TrainConfig config_;
  const BatchKind kind_;
  const std::int64_t samples_a_step_;
  const ImageFolder& content_;
  const ImageFolder* style_;
  const Resampling resampling_;
  EpochOrder order_;
  EpochOrder style_order_;
  std::int64_t next_step_ = -1;
  std::future<absl::StatusOr<Batch>> next_;
};

}  // namespace atelier::train
