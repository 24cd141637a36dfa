// The network of the lite generators: small, for CPUs and video. Two strided convolutions, residual
// blocks of depthwise convolutions in the manner of ConvNeXt (Liu et al. 2022, arXiv:2201.03545)
// with instance norm, and upsampling by nearest neighbour + convolution (Odena et al. 2016).
#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>

#include "worker/nn/generator.h"
#include "worker/nn/modulated_norm.h"

namespace atelier::nn {

// Convolution with reflection padding, StyleNorm, ReLU: "conv.weight", "norm".
class StyleConvImpl final : public torch::nn::Module {
 public:
  struct Options {
    int in_channels;
    int out_channels;
    int kernel;
    int stride;
  };

  StyleConvImpl(const Options& options, ModulationLayout* layout);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& modulation);

 private:
  int kernel_;
  torch::nn::Conv2d conv_;
  StyleNorm norm_;
};
TORCH_MODULE(StyleConv);

class LiteNetwork : public Generator {
 public:
  struct Options {
    int stem_channels = 24;  // at half size
    int channels = 96;       // of the blocks, at a quarter of the size
    int blocks = 6;
    int block_kernel = 5;
    int expansion = 128;     // channels inside a block
    int up_channels = 32;    // at half size
    int head_channels = 12;  // at full size
  };

  // The noise is a tile that is laid beside itself where features are larger than it, each time
  // rolled by other numbers of places: a tile as it is would print its pattern on plain cloth and
  // walls every 256 pixels. Noise has no seams. The tile of row i and column j is rolled by
  // row2 i^2 + both i j + column2 j^2 + row i + column j places, the first one not at all.
  struct Roll {
    int row2, both, column2, row, column;
  };
  static constexpr Roll kRollDown = {17, 29, 41, 23, 47};
  static constexpr Roll kRollRight = {13, 37, 19, 59, 31};

 protected:
  enum class Norms { kOwn, kModulated };

  LiteNetwork(const Options& options, Norms norms);

  // x: see Generator::forward. modulation: [N or 1, modulation_size()], undefined with kOwn.
  torch::Tensor Run(const torch::Tensor& x, const torch::Tensor& modulation);

  // Scales and shifts of all norms; 0 with kOwn. The layout is ModulationLayout's.
  int modulation_size() const { return layout_.size(); }
  // Scales 1, shifts 0: float [modulation_size()].
  torch::Tensor NeutralModulation() const;

  // Kaiming normal (He et al. 2015), for convolutions and whatever else has more than one
  // dimension; the blocks start halved and the head near zero, so that training starts near the
  // picture.
  void InitializeNetwork(at::Generator random);

 private:
  torch::Tensor NoiseLike(const torch::Tensor& features);

  ModulationLayout layout_;  // before the norms, which it counts
  StyleConv stem_;
  StyleConv down_;
  torch::nn::Conv2d noise_;
  torch::Tensor noise_tile_;  // [1, 8, 64, 64]
  torch::nn::ModuleList blocks_;
  torch::nn::Conv2d reduce_;
  StyleConv up_;
  torch::nn::Conv2d shrink_;
  torch::nn::Conv2d head_;
};

}  // namespace atelier::nn
