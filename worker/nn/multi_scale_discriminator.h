// PatchGANs at several scales (Wang et al. 2018, pix2pixHD, arXiv:1711.11585): the same patch size
// sees texture in the finest picture and composition in the coarsest.
#pragma once

#include <memory>

#include "worker/nn/patch_discriminator.h"

namespace atelier::nn {

class MultiScaleDiscriminator final : public Discriminator {
 public:
  struct Options {
    int scales = 3;  // pix2pixHD: 2 or 3
    PatchDiscriminator::Options patch;
  };

  // Registers a PatchDiscriminator a scale: "scale_0" (finest), "scale_1", ... (pix2pixHD counts
  // from the coarsest and pads by 2; its files do not load.)
  explicit MultiScaleDiscriminator(const Options& options);

  // H and W >= 32 * 2^(scales - 1) with three layers. A map a scale, finest first.
  Judgement Judge(const torch::Tensor& x) override;

  // Judges pictures that were made at every scale, finest first, instead of means of one, such as
  // those of ResnetGenerator::ForwardLevels: `pyramid` has `scales` pictures.
  Judgement JudgePyramid(const std::vector<torch::Tensor>& pyramid);

  // Normal(0, 0.02), biases 0; norms: see InitializeNormal.
  void InitializeWeights(at::Generator random) override;
  std::vector<Layer> Layers() override;

 private:
  std::vector<std::shared_ptr<PatchDiscriminator>> scales_;
};

// x and `scales` - 1 means of it, each half as large (rounded up) as the one before: averages of
// 3x3 pixels, stride 2, of what is inside the picture. [N, C, H, W], finest first.
std::vector<torch::Tensor> AveragePyramid(const torch::Tensor& x, int scales);

}  // namespace atelier::nn
