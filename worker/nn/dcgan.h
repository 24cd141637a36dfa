// DCGAN (Radford et al. 2015, arXiv:1511.06434). Parameter names and layout equal those of
// pytorch/examples, dcgan/main.py, for 64 px; 128 and 256 px have one and two layers more, each
// with twice the channels, as the usual enlargements of it have.
#pragma once

#include <torch/nn/modules/container/sequential.h>

#include <vector>

#include "worker/nn/norms.h"
#include "worker/nn/pattern_discriminator.h"
#include "worker/nn/pattern_generator.h"

namespace atelier::nn {

// Transposed convolutions 4x4 with batch norm and ReLU, from 1x1 over 4x4 to the full size, then
// tanh: "main.0.weight", ...
class DcganGenerator final : public PatternGenerator {
 public:
  struct Options {
    int side = 64;  // pixels: 64, 128 or 256
    int latent_size = 100;
    int ngf = 64;  // channels at half size; at 64 px: 3,576,704 parameters
    // nn::ResizeConv instead of the transposed convolutions that double the size, under the same
    // names (their weights are then [out, in, 3, 3]), against checkerboards.
    bool resize_convolution = false;
    ConditionOptions condition;
  };

  explicit DcganGenerator(const Options& options);

  torch::Tensor forward(const torch::Tensor& z, const torch::Tensor& condition) override;
  // Normal(0, 0.02), batch norms Normal(1, 0.02) and 0.
  void InitializeWeights(at::Generator random) override;

 private:
  torch::nn::Sequential main_;
};

// Convolutions 4x4 of stride 2 with LeakyReLU 0.2 and norm (not behind the first), then one over
// the last 4x4 pixels: "main.0.weight", ... The logits have no sigmoid, which the losses contain.
class DcganDiscriminator final : public PatternDiscriminator {
 public:
  struct Options {
    int side = 64;  // pixels: 64, 128 or 256
    int ndf = 64;   // channels at half size; at 64 px: 2,765,568 parameters
    // kBatch is DCGAN's. A gradient penalty is for each picture apart and wants kLayer or kNone
    // (Gulrajani et al. 2017, arXiv:1704.00028). With kNone all convolutions have biases.
    NormKind norm = NormKind::kBatch;
    // Of every convolution and of the condition's embedding (worker/nn/spectral_norm.h).
    bool spectral_norm = false;
    int condition_entries = 0;   // 0: unconditional
    bool condition_sum = false;  // ConditionOptions::sum
  };

  explicit DcganDiscriminator(const Options& options);

  Judgement JudgeConditional(const torch::Tensor& x, const torch::Tensor& condition) override;
  // Normal(0, 0.02), biases 0; norms: see InitializeNormal.
  void InitializeWeights(at::Generator random) override;
  // 5 of them at 64 px.
  std::vector<Layer> Layers() override;

 private:
  torch::nn::Sequential main_;
};

}  // namespace atelier::nn
