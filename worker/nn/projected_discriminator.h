// The projected discriminator (Sauer et al. 2021, "Projected GANs converge faster",
// arXiv:2111.01007): small discriminators that judge the features of a frozen classifier instead of
// the picture.
//
// The features f_l of EfficientNet-Lite0 at strides 4, 8, 16 and 32 are mixed by random matrices
// that never change. Across channels: h_l = A_l f_l, with c, 2c, 4c and 8c channels. Then, from the
// coarsest up, across scales: m_3 = up(B_3 h_3), m_l = up(B_l (h_l + m_(l+1))), where `up` doubles
// the size bilinearly. Each m_l has a discriminator of strided 4x4 convolutions with spectral norm,
// batch norm and LeakyReLU down to stride 32. (Unlike the paper's code, pictures are not resized
// first, the mixing has no biases, and the last convolution is 3x3 with padding instead of 4x4
// without, so that small pictures get logits, too.)
#pragma once

#include <memory>

#include "worker/nn/discriminator.h"
#include "worker/nn/efficientnet_lite.h"

namespace atelier::nn {

class ProjectedDiscriminator final : public Discriminator {
 public:
  struct Options {
    int channels = 64;  // c
  };

  // network: EfficientNet-Lite0, with its weights loaded and folded, on this module's device. It is
  // shared, not part of this module: not in its parameters, nor in its checkpoints.
  ProjectedDiscriminator(const Options& options, std::shared_ptr<EfficientNetLite> network);

  // C = 3, H and W >= 64. Four maps, finest first, of about H/32 x W/32. Gradients flow through the
  // frozen network to x.
  Judgement Judge(const torch::Tensor& x) override;
  // The mixing by Kaiming normal (He et al. 2015), the discriminators by Normal(0, 0.02).
  void InitializeWeights(at::Generator random) override;
  // With the frozen network, which is no part of its weights.
  using Discriminator::to;
  void to(torch::Device device, bool non_blocking = false) override;
  // Of the small discriminators; the frozen network and the mixing are never trained.
  std::vector<Layer> Layers() override;

 private:
  // m_0 to m_3.
  std::vector<torch::Tensor> Project(const torch::Tensor& x);

  std::shared_ptr<EfficientNetLite> network_;
  // Buffers "mix_channels_<l>" (A_l) and "mix_scales_<l>" (B_l): [out, in, 1, 1].
  std::vector<torch::Tensor> mix_channels_;
  std::vector<torch::Tensor> mix_scales_;
  std::vector<torch::nn::Sequential> levels_;  // "level_0" to "level_3"
};

}  // namespace atelier::nn
