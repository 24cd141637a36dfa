// Dropout (Srivastava et al. 2014) that draws from generators given to it instead of the global
// one, one a picture, so that a picture's masks are a function of its key and not of its batch.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <utility>
#include <vector>

namespace atelier::nn {

class KeyedDropoutImpl final : public torch::nn::Module {
 public:
  // probability: of an element to become 0, in [0, 1).
  explicit KeyedDropoutImpl(double probability);

  // CPU generators, on GPUs too: their masks are equal to a CPU's. Picture i of a batch draws from
  // the one at i modulo their number.
  void SetRandom(std::vector<at::Generator> randoms) { randoms_ = std::move(randoms); }

  // x: [N, ...], N a multiple of the number of generators. In training mode zeroes elements and
  // scales the others by 1 / (1 - probability), drawing from the generators, which must have been
  // set; the identity in evaluation mode.
  torch::Tensor forward(const torch::Tensor& x);

 private:
  double probability_;
  std::vector<at::Generator> randoms_;
};
TORCH_MODULE(KeyedDropout);

}  // namespace atelier::nn
