// What a training step learns from.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "common/check.h"
#include "worker/train/random.h"

namespace atelier::train {

// How a family uses its data sets.
enum class BatchKind {
  kContent,     // pictures of the content set; a style set, if any, is read as a whole
  kUnpaired,    // pictures of the content set and, drawn independently, of the style set
  kSideBySide,  // content pictures hold the input (left half) and the target (right half)
  kEdges,       // content pictures are the targets; the inputs are edges drawn from them
  kNone,        // the step reads its sets when it is made; batches have their first_sample only
};

// Pictures are float [N, 3, S, S] in [-1, 1], channels last.
struct Batch {
  torch::Tensor content;  // or input
  torch::Tensor target;   // or a picture of the style set; undefined with kContent
  torch::Tensor labels;   // int64 [N], places in ImageFolder::labels() of the content set
  std::vector<std::int64_t> content_places;  // of its pictures in the content set
  std::vector<std::int64_t> target_places;   // in the style set; empty where there is none
  std::int64_t first_sample = 0;  // index of its first sample since the beginning of training
  // On one of several ranks: SampleRange has them.
  std::int64_t block = 0;
  std::int64_t stride = 0;

  // What keys the draws for its pictures.
  SampleRange samples() const {
    return {.first = first_sample, .count = labels.size(0), .block = block, .stride = stride};
  }
};

// The same with its tensors on `device`; itself where they are there already.
inline Batch OnDevice(Batch batch, const torch::Device& device) {
  for (torch::Tensor* tensor : {&batch.content, &batch.target, &batch.labels}) {
    if (tensor->defined()) {
      *tensor = tensor->to(device);
    }
  }
  return batch;
}

// The pictures [first, first + count) of a batch; on several ranks whole blocks of them.
inline Batch Narrow(const Batch& batch, std::int64_t first, std::int64_t count) {
  Batch part;
  part.content = batch.content.narrow(0, first, count);
  part.labels = batch.labels.narrow(0, first, count);
  if (batch.target.defined()) {
    part.target = batch.target.narrow(0, first, count);
  }
  const auto places = [first, count](const std::vector<std::int64_t>& all) {
    return all.empty() ? all : std::vector(all.begin() + first, all.begin() + first + count);
  };
  part.content_places = places(batch.content_places);
  part.target_places = places(batch.target_places);
  ATELIER_CHECK(batch.block == 0 || first % batch.block == 0);
  part.first_sample = batch.samples().At(first);
  part.block = batch.block;
  part.stride = batch.stride;
  return part;
}

}  // namespace atelier::train
