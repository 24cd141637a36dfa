// PatchNCE (Park et al. 2020, arXiv:2007.15651): a place of the result must be recognisable as that
// place of the input, among other places of the same picture. Agrees with the authors' code
// (PatchSampleF, PatchNCELoss with negatives within the picture), names of the weights included.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

#include "worker/train/random.h"

namespace atelier::train {

// For each layer's features [N, C, H, W]: P = min(count, H W) different places a picture, int64
// [N, P], numbered row by row; the same for queries and keys. `randoms`: one a picture, keyed by
// (seed, sample, which pair, kPatches).
std::vector<torch::Tensor> DrawPatches(const std::vector<torch::Tensor>& features,
                                       std::int64_t count, std::vector<KeyedRandom> randoms);

// The projection: for each layer two linear layers with a ReLU between, "mlp_0.0.weight",
// "mlp_0.0.bias", "mlp_0.2.weight", … Trained along with the generator.
class PatchProjectorImpl final : public torch::nn::Module {
 public:
  // `channels`: C of each layer's features.
  explicit PatchProjectorImpl(const std::vector<std::int64_t>& channels, std::int64_t width = 256);

  // float or bfloat16 features, one a layer, and their places → float [N P, width] a layer, rows of
  // length 1, picture by picture.
  std::vector<torch::Tensor> forward(const std::vector<torch::Tensor>& features,
                                     const std::vector<torch::Tensor>& places);

 private:
  std::vector<torch::nn::Sequential> layers_;
};
TORCH_MODULE(PatchProjector);

// The cross entropy of telling each query's own key from the other P - 1 keys of its picture, mean
// over places and layers, scalar, in FP32. queries, keys: what the projector makes of the result
// and of the input, `pictures` = N; no gradient reaches the keys. temperature above 0.
torch::Tensor PatchNce(const std::vector<torch::Tensor>& queries,
                       const std::vector<torch::Tensor>& keys, std::int64_t pictures,
                       double temperature = 0.07);

}  // namespace atelier::train
