// Makes the samples that batches are put together from.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/train/batch.h"
#include "worker/train/image_folder.h"

namespace atelier::train {

// Which pictures a sample is to be of, by their places in the sets.
struct SamplePlan {
  std::int64_t sample = 0;  // since the beginning of training
  std::int64_t content = 0;
  std::int64_t style = -1;  // below 0: the batch holds none
};

// uint8 [S, S, 3] pictures.
struct Sample {
  torch::Tensor content;
  torch::Tensor target;  // undefined where there is none
  std::int64_t label = 0;
  std::int64_t place = 0;          // in the content set
  std::int64_t target_place = -1;  // in the style set; below 0: there is none
};

// The short side at which pictures are kept for crops of `image_size`: a quarter larger, the range
// of the random zoom.
int ContentSide(int image_size);

// Immutable: any thread. The folders must outlive it.
class SampleMaker {
 public:
  // `style` is needed for kUnpaired only.
  SampleMaker(const TrainConfig& config, BatchKind kind, const ImageFolder& content,
              const ImageFolder* style);

  // With random zoom, crop, warp and flip, keyed by (seed, sample). A picture that can no longer be
  // read is replaced by another one (ImageFolder::LoadOrReplace), keyed likewise. DATA_LOSS: too
  // many of them.
  absl::StatusOr<Sample> Make(const SamplePlan& plan) const;

 private:
  const TrainConfig config_;
  const BatchKind kind_;
  const ImageFolder& content_;
  const ImageFolder* style_;
};

// In their order; at least one.
Batch MakeBatch(const std::vector<Sample>& samples, std::int64_t first_sample);

}  // namespace atelier::train
