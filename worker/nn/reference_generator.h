// A generator that takes its style from another picture: the lite network with adaptive instance
// norm (Huang and Belongie 2017, arXiv:1703.06868). Its scales and shifts come from a code that a
// style encoder of its own makes, in the manner of MicroAST (Wang et al. 2023, arXiv:2211.15313)
// small enough for CPUs.
#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/linear.h>

#include "worker/nn/lite_network.h"

namespace atelier::nn {

// Picture → code. Convolutions (3x3 depthwise and 1x1 behind the first), each at half the size of
// the one before and without norm, because a norm would take the style away. The code is made of
// the mean and deviation of every channel at all levels: what AdaIN takes for the style.
class StyleEncoderImpl final : public torch::nn::Module {
 public:
  struct Options {
    int base_channels = 16;  // at half size; twice as many at each further level
    int levels = 4;
    int hidden = 128;
    int code_size = 128;
  };

  explicit StyleEncoderImpl(const Options& options);

  // x: [N, 3, H, W] in [-1, 1], H and W >= 2^levels. Returns float [N, code_size].
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::nn::ModuleList levels_;
  torch::nn::Linear widen_;
  torch::nn::Linear code_;
};
TORCH_MODULE(StyleEncoder);

class ReferenceGenerator final : public LiteNetwork {
 public:
  struct Options {
    StyleEncoderImpl::Options style;
    LiteNetwork::Options network;
  };

  // "style" and "modulation" (code → scales and shifts) beside the network. With the defaults
  // 478,427 parameters.
  explicit ReferenceGenerator(const Options& options);

  // The code of pictures whose style is wanted, [N, 3, H, W] in [-1, 1], H and W >= 16, of any size
  // and independent of the size of the pictures to be restyled: float [N, code_size()].
  torch::Tensor Style(const torch::Tensor& pictures);
  // x in the style of a code [N or 1, code_size()]; codes may be mixed.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& code);
  // Each picture in its own style.
  torch::Tensor forward(const torch::Tensor& x) override;

  int code_size() const { return code_size_; }

  // See LiteNetwork::InitializeNetwork; styles start close to scales 1 and shifts 0.
  void InitializeWeights(at::Generator random) override;

 private:
  torch::Tensor Modulation(const torch::Tensor& code);

  int code_size_;
  StyleEncoder style_;
  torch::nn::Linear modulation_;
};

}  // namespace atelier::nn
