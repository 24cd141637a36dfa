// The sample grid: a fixed handful of pictures and what has become of them.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/train_config.h"
#include "worker/train/batch.h"
#include "worker/train/image_folder.h"

namespace atelier::train {

// How many styles the grid shows of a model of several.
inline constexpr std::int64_t kSampleStyles = 4;

// uint8 [side, side, 3]: the middle of a picture uint8 [H, W, 3] whose short side becomes `side`.
torch::Tensor CentreCrop(const torch::Tensor& picture, int side);

// Centre crops of `count` different pictures (of all, where there are fewer), chosen by the seed
// and the same through the whole run: float [N, 3, S, S] in [-1, 1], inputs where the pictures are
// pairs. DATA_LOSS: a file can no longer be read.
absl::StatusOr<torch::Tensor> PickSamples(const TrainConfig& config, BatchKind kind,
                                          const ImageFolder& content, int count);

// The same of real pictures like those that a family should make: of the style set's pictures where
// there is one, of the targets of pairs, else of the content's; with `label` (a place in labels()
// of that set) 0 or above only of those that have it. Where that leaves fewer than two, of the
// inputs, which results should differ like.
absl::StatusOr<torch::Tensor> PickTargets(const TrainConfig& config, BatchKind kind,
                                          const ImageFolder& content, const ImageFolder* style,
                                          std::int64_t label, int count);

// Rows of TrainStep::Sample as JPEG, at most 256 KiB.
absl::StatusOr<std::string> SampleGrid(const std::vector<torch::Tensor>& rows);

}  // namespace atelier::train
