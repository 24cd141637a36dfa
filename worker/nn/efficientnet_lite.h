// EfficientNet-Lite (Tan and Le 2019, arXiv:1905.11946; the Lite variants of Google's TPU
// repository: no squeeze-and-excitation, ReLU6) as a frozen feature network for perceptual losses
// and metrics. Parameter names and static "same" padding equal the Python package
// efficientnet-lite-pytorch, so that its weights load by name; see worker/models/feature_network.h.
#pragma once

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <vector>

#include "worker/nn/blocks.h"

namespace atelier::nn {

// Always in evaluation mode, no parameter wants a gradient; gradients flow to the input.
// Thread-safe after Fold.
class EfficientNetLite final : public torch::nn::Module {
 public:
  // The blocks whose outputs Features returns after the stem's: strides 2, 4, 8 and 16.
  static constexpr std::array<int, 4> kFeatureBlocks = {0, 2, 4, 10};

  // variant: 0 or 1.
  explicit EfficientNetLite(int variant);

  // Multiplies the batch norms into the convolutions. Call once after the weights are loaded and
  // before the first use; calling it again changes nothing.
  void Fold();

  // x: float [N, 3, H, W], RGB in [-1, 1], H and W >= 16. Returns the outputs of the stem (after
  // ReLU6) and of the blocks above (after the skip connection); computes nothing beyond. Channels:
  // 32, 16, 24, 40, 112 with variant 0; 32, 16, 24, 40, 80 with variant 1.
  std::vector<torch::Tensor> Features(const torch::Tensor& x);

  // The outputs of the blocks `blocks`, indices in ascending order; computes nothing beyond.
  // Variant 0: block 0 has stride 2; 1, 2 stride 4; 3, 4 stride 8; 5 to 10 stride 16; 11 to 15
  // stride 32.
  std::vector<torch::Tensor> BlockOutputs(const torch::Tensor& x, const std::vector<int>& blocks);

  // Logits of the 1,000 ImageNet classes, [N, 1000].
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::Tensor Stem(const torch::Tensor& x);
  std::vector<torch::Tensor> BlocksFrom(torch::Tensor stem, torch::ArrayRef<int> blocks);

  torch::nn::Conv2d conv_stem_{nullptr};
  torch::nn::BatchNorm2d bn0_{nullptr};
  torch::nn::ModuleList blocks_;
  torch::nn::Conv2d conv_head_{nullptr};
  torch::nn::BatchNorm2d bn1_{nullptr};
  torch::nn::Linear fc_{nullptr};
};

}  // namespace atelier::nn
