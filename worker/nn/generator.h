// What every picture-to-picture network is.
//
// Networks are plain classes held by std::shared_ptr (they are chosen at run time); the blocks
// inside them are LibTorch module holders.
#pragma once

#include <torch/nn/module.h>

#include <vector>

namespace atelier::nn {

class Generator : public torch::nn::Module {
 public:
  // x: float or bfloat16 [N, 3, H, W], RGB in [-1, 1], H and W >= 16. Returns the same shape, type
  // and range. Any size: what the network cannot divide is padded by reflection at the right and
  // bottom and cut off again. On CPUs a picture's result does not depend on the others in its batch
  // but for small maps and narrow layers in fp32, where oneDNN chooses its convolutions by the
  // batch: who needs equal bits at every size runs pictures one by one (worker/infer does).
  // Thread-safe for inference; throws c10::Error (see worker/infer/guard.h).
  virtual torch::Tensor forward(const torch::Tensor& x) = 0;

  // Where forward draws the masks of dropout from in training mode: CPU generators, which forward
  // advances, one a picture (KeyedDropout::SetRandom). Networks without dropout ignore them, the
  // others must have them before they are trained.
  virtual void SetDropoutRandom(const std::vector<at::Generator>& /*randoms*/) {}

  // Fills all weights afresh from `random` (a CPU generator), the way this network is meant to
  // start training.
  virtual void InitializeWeights(at::Generator random) = 0;
};

}  // namespace atelier::nn
