#include "worker/train/keyed_noise.h"

#include <torch/torch.h>

#include <vector>

#include "worker/train/learner.h"
#include "worker/train/random.h"

namespace atelier::train {

torch::Tensor KeyedNoise(std::uint64_t seed, const SampleRange& samples, std::int64_t draw,
                         torch::IntArrayRef shape, const torch::Device& device) {
  std::vector<torch::Tensor> each;
  for (std::int64_t i = 0; i < shape.front(); ++i) {
    KeyedRandom random(seed, samples.At(i), draw, Purpose::kLatent);
    each.push_back(torch::randn(shape.slice(1), MakeRandom(random.Next())));
  }
  return torch::stack(each).to(device);
}

}  // namespace atelier::train
