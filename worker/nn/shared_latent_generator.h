// Two domains of pictures with one space of codes: UNIT (Liu et al. 2017, arXiv:1703.00848), the
// picture → picture form of the GAN–VAE hybrid.
#pragma once

#include <torch/nn/modules/container/sequential.h>

#include <array>

#include "worker/nn/generator.h"

namespace atelier::nn {

// Each domain has an encoder and a decoder of its own; their inner residual blocks are shared,
// which is what makes a code of one domain mean the same in the other. A code is the mean of a
// normal distribution of variance 1 (the paper's section 3).
class SharedLatentGenerator final : public Generator {
 public:
  struct Options {
    int base_channels = 64;  // at full size; 4 times as many in the code
    int blocks = 3;          // residual blocks of each encoder and decoder
    int shared_blocks = 1;   // of those that the encoders share, and again the decoders
  };

  enum class Domain { kSource = 0, kTarget = 1 };

  // "encoder_source", "encoder_target", "shared_encoder", "shared_decoder", "decoder_source",
  // "decoder_target".
  explicit SharedLatentGenerator(const Options& options);

  // x: [N, 3, H, W] in [-1, 1], multiples of 4 >= 16. The means of the codes, [N, 4 *
  // base_channels, H / 4, W / 4]; training adds standard normal noise to them.
  torch::Tensor Encode(Domain domain, const torch::Tensor& x);
  // codes as Encode's → [N, 3, H, W] in [-1, 1].
  torch::Tensor Decode(Domain domain, const torch::Tensor& codes);

  // From source to target, without noise: what is served.
  torch::Tensor forward(const torch::Tensor& x) override;
  // Kaiming normal (He et al. 2015), biases 0; norms 1 and 0.
  void InitializeWeights(at::Generator random) override;

 private:
  std::array<torch::nn::Sequential, 2> encoders_;
  torch::nn::Sequential shared_encoder_;
  torch::nn::Sequential shared_decoder_;
  std::array<torch::nn::Sequential, 2> decoders_;
};

}  // namespace atelier::nn
