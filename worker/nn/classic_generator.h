// The classic recipe of pattern GANs: the layout of TensorFlow's DCGAN tutorial, with latent size
// 100, a dense layer to 7x7, convolutions 5x5 of stride 2 and LeakyReLU 0.2.
#pragma once

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <vector>

#include "worker/nn/pattern_discriminator.h"
#include "worker/nn/pattern_generator.h"

namespace atelier::nn {

// "dense", then "main": batch norm, LeakyReLU, a transposed convolution of stride 1, and transposed
// convolutions of stride 2 up to the full size, with batch norm and LeakyReLU between them and tanh
// at the end.
class ClassicGenerator final : public PatternGenerator {
 public:
  struct Options {
    int side = 28;  // pixels: 28, 56, 112 or 224
    int latent_size = 100;
    // Channels at half size; twice as many at a quarter, four times as many below. 64 is the
    // tutorial's: 2,284,096 parameters at 28 px.
    int base_channels = 64;
    // nn::ResizeConv, kernel 3, instead of the transposed convolutions of stride 2.
    bool resize_convolution = false;
    ConditionOptions condition;
  };

  explicit ClassicGenerator(const Options& options);

  torch::Tensor forward(const torch::Tensor& z, const torch::Tensor& condition) override;
  // Uniform (Glorot and Bengio 2010), as Keras does; batch norms 1 and 0.
  void InitializeWeights(at::Generator random) override;

 private:
  torch::nn::Linear dense_{nullptr};
  torch::nn::Sequential main_;
};

// "main": convolutions 5x5 of stride 2 with LeakyReLU and dropout 0.3, no norm, down to 7x7, then
// one logit of all that is left.
class ClassicDiscriminator final : public PatternDiscriminator {
 public:
  struct Options {
    int side = 28;           // pixels: 28, 56, 112 or 224
    int base_channels = 64;  // at half size; 2 and 4 times as many below
    // Of every convolution and of the condition's embedding (worker/nn/spectral_norm.h).
    bool spectral_norm = false;
    int condition_entries = 0;   // 0: unconditional
    bool condition_sum = false;  // ConditionOptions::sum
  };

  explicit ClassicDiscriminator(const Options& options);

  Judgement JudgeConditional(const torch::Tensor& x, const torch::Tensor& condition) override;
  // Uniform (Glorot and Bengio 2010), as Keras does; biases 0, the condition's embedding as
  // InitializeNormal.
  void InitializeWeights(at::Generator random) override;
  std::vector<Layer> Layers() override;
  // Needed before a forward in training mode.
  void SetDropoutRandom(const std::vector<at::Generator>& randoms) override;

 private:
  torch::nn::Sequential main_;
};

}  // namespace atelier::nn
