// Makes the content batches; the next one is made while the present one is learnt from.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <future>
#include <vector>

#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/train/image_folder.h"

namespace atelier::train {

// The order of a data set: every epoch is a permutation keyed by (seed, epoch), so each picture is
// seen once an epoch. Not thread-safe.
class EpochOrder {
 public:
  EpochOrder(std::uint64_t seed, std::int64_t size);
  // The picture of the n-th sample since the beginning of training.
  std::int64_t At(std::int64_t sample);

 private:
  std::uint64_t seed_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> order_;
};

// The short side at which photographs are kept for crops of `image_size`: a quarter larger, the
// range of the random zoom.
int ContentSide(int image_size);

// Owned by the training thread. `content` must outlive it.
class BatchLoader {
 public:
  BatchLoader(const TrainConfig& config, const ImageFolder& content);
  ~BatchLoader();
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  // The batch of step `step`: float [N, 3, S, S] in [-1, 1], channels last; random zoom, crop and
  // flip. Starts making that of step + 1. DATA_LOSS: a file has vanished.
  absl::StatusOr<torch::Tensor> Get(std::int64_t step);

 private:
  absl::StatusOr<torch::Tensor> Make(std::int64_t step);
  torch::Tensor Crop(const torch::Tensor& picture, std::int64_t step, std::int64_t sample) const;

  const std::int64_t batch_size_;
  const int image_size_;
  const std::uint64_t seed_;
  const ImageFolder& content_;
  EpochOrder order_;
  std::int64_t next_step_ = -1;
  std::future<absl::StatusOr<torch::Tensor>> next_;
};

}  // namespace atelier::train
