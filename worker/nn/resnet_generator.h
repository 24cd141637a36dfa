// The ResNet generator of CycleGAN (Zhu et al. 2017, arXiv:1703.10593), after Johnson et al. 2016
// (arXiv:1603.08155), and its anti-aliased form of CUT (Park et al. 2020, arXiv:2007.15651):
// parameter names and layout equal those of junyanz/pytorch-CycleGAN-and-pix2pix and of
// taesungp/contrastive-unpaired-translation without dropout ("model.1.weight", ...).
#pragma once

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>

#include <vector>

#include "worker/nn/generator.h"
#include "worker/nn/norms.h"

namespace atelier::nn {

class ResnetGenerator final : public Generator {
 public:
  struct Options {
    int blocks = 9;  // 6: 7,837,699 parameters; 9: 11,378,179
    int ngf = 64;    // channels of the first layer
    NormKind norm = NormKind::kInstance;
    // CUT's layout: filters ("filt" buffers) around the changes of size, at model.7 and model.11
    // and before the last convolutions, so that the blocks begin at model.12.
    bool antialias = false;
    // nn::ResizeConv instead of transposed convolutions, under the same names (their weights are
    // then [out, in, 3, 3]). Not together with antialias, whose layout has no transposed
    // convolutions.
    bool resize_convolution = false;
    // Adds "rgb_quarter" and "rgb_half", 1x1 convolutions: see ForwardLevels.
    bool multi_level = false;
    // nn::QuantizedConvolution, under the same names, for all convolutions between the first and
    // the last one (those decide the colours) but the transposed and resized ones. To be made of a
    // trained network by QuantizeWeights, not initialised.
    bool int8 = false;
  };

  explicit ResnetGenerator(const Options& options);

  torch::Tensor forward(const torch::Tensor& x) override;
  // Normal(0, 0.02), biases 0; norms: see InitializeNormal.
  void InitializeWeights(at::Generator random) override;

  // Of "model", parameters or not.
  int layers() const { return static_cast<int>(model_->size()); }

  // The outputs of the layers `layers`, indices of "model" in ascending order, for x as in forward;
  // computes nothing beyond the last. They cover the picture after padding to a multiple of 4.
  // CUT's PatchNCE takes layers 0, 4, 8, 12, 16 of the anti-aliased layout.
  std::vector<torch::Tensor> Features(const torch::Tensor& x, const std::vector<int>& layers);

  // With multi_level only: the picture of forward and, from the features at a half and at a quarter
  // of the size, smaller ones: [N, 3, H, W], [N, 3, ceil(H/2), ceil(W/2)], [N, 3, ceil(H/4),
  // ceil(W/4)], all in [-1, 1]. Judged scale by scale they give the inner layers gradients of their
  // own (Zhang et al. 2018, arXiv:1802.09178; Karnewar and Wang 2020, arXiv:1903.06048).
  std::vector<torch::Tensor> ForwardLevels(const torch::Tensor& x);

 private:
  void PushConvolution(int in, int out, int stride);
  void PushNormRelu(int channels);
  void PushDown(int channels);
  void PushUp(int channels);

  Options options_;
  torch::nn::Sequential model_;
  // Where the levels end: indices of the layers after the blocks and after the first doubling.
  std::size_t quarter_end_ = 0;
  std::size_t half_end_ = 0;
  torch::nn::Conv2d rgb_quarter_{nullptr};
  torch::nn::Conv2d rgb_half_{nullptr};
};

}  // namespace atelier::nn
