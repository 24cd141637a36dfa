// The encoder half of a variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114); its
// decoder is a PatternGenerator, its judge a PatternDiscriminator (VAE/GAN, Larsen et al. 2016,
// arXiv:1512.09300).
#pragma once

#include <torch/nn/modules/container/sequential.h>

#include "worker/nn/norms.h"

namespace atelier::nn {

// The normal distribution of latent codes that a picture stands for, coordinates independent; float
// [N, latent size] each.
struct LatentDistribution {
  torch::Tensor mean;
  torch::Tensor log_variance;
};

// mean + exp(log_variance / 2) * noise: a sample through which gradients flow (Kingma and Welling
// 2014, section 2.4). noise: standard normal, of the same shape.
torch::Tensor Reparameterize(const LatentDistribution& latent, const torch::Tensor& noise);

// Convolutions 4x4 of stride 2 with norm (not behind the first) and LeakyReLU 0.2 down to 4 to 7
// pixels, then one over what is left: "main.0.weight", ...
class PatternEncoder final : public torch::nn::Module {
 public:
  struct Options {
    int side = 64;  // of the pictures, pixels; any side of the pattern generators
    int latent_size = 100;
    int base_channels = 64;  // at half size; up to 8 times as many below
    NormKind norm = NormKind::kBatch;
  };

  explicit PatternEncoder(const Options& options);

  // x: float [N, 3, side, side] in [-1, 1]. Throws c10::Error (see worker/infer/guard.h).
  LatentDistribution Encode(const torch::Tensor& x);

  // Normal(0, 0.02), batch norms as InitializeNormal.
  void InitializeWeights(at::Generator random);

 private:
  torch::nn::Sequential main_;
};

}  // namespace atelier::nn
