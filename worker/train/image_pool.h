// A memory of generated pictures: the discriminator sees some of earlier steps in place of the
// newest, which keeps the two networks from chasing each other in circles (Shrivastava et al. 2017,
// arXiv:1612.07828, in the form of CycleGAN, arXiv:1703.10593).
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/models/safetensors.h"
#include "worker/train/random.h"

namespace atelier::train {

// Not thread-safe.
class ImagePool {
 public:
  // `capacity` in pictures; 0: Exchange gives back what it gets.
  explicit ImagePool(std::int64_t capacity);

  // pictures: [N, C, H, W], of equal size in all calls. Returns as many, without gradients: while
  // the pool fills, the pictures themselves; then each, with probability 1/2, is swapped for a
  // random one of the pool. `randoms`: one a picture, keyed by (seed, sample, adversary, kPool), so
  // that the parts of a batch, in their order, are shown what the whole batch would be.
  torch::Tensor Exchange(const torch::Tensor& pictures, std::vector<KeyedRandom> randoms);

  std::int64_t size() const { return static_cast<std::int64_t>(pictures_.size()); }

  // As NAME#pool, [size, C, H, W] on the CPU.
  void Save(const std::string& name, models::TensorMap& state) const;
  // DATA_LOSS: missing, or more pictures than the capacity.
  absl::Status Load(const std::string& name, const models::TensorMap& state,
                    const torch::Device& device = torch::kCPU);

 private:
  std::int64_t capacity_;
  std::vector<torch::Tensor> pictures_;  // [1, C, H, W]
};

}  // namespace atelier::train
