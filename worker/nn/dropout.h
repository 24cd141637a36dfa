// Dropout (Srivastava et al. 2014) that draws from a generator given to it instead of the global
// one, so that a training step's masks are a function of its key.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <utility>

namespace atelier::nn {

class KeyedDropoutImpl final : public torch::nn::Module {
 public:
  // probability: of an element to become 0, in [0, 1).
  explicit KeyedDropoutImpl(double probability);

  // A CPU generator, on GPUs too: their masks are equal to a CPU's.
  void SetRandom(at::Generator random) { random_ = std::move(random); }

  // In training mode zeroes elements and scales the others by 1 / (1 - probability), drawing from
  // the generator, which must have been set; the identity in evaluation mode.
  torch::Tensor forward(const torch::Tensor& x);

 private:
  double probability_;
  at::Generator random_;
};
TORCH_MODULE(KeyedDropout);

}  // namespace atelier::nn
