// The feed-forward style network of Johnson et al. 2016 (arXiv:1603.08155) with instance norm
// (Ulyanov et al. 2016, arXiv:1607.08022) and upsampling by nearest neighbour + convolution (Odena
// et al. 2016): parameter names and layout equal TransformerNet of pytorch/examples
// fast_neural_style ("conv1.conv2d.weight", "in1.weight", "res1...", "deconv1...").
#pragma once

#include "worker/nn/blocks.h"
#include "worker/nn/generator.h"

namespace atelier::nn {

class TransformerNet final : public Generator {
 public:
  struct Options {
    int channels = 32;  // of the first layer; 32: 1,679,235 parameters
  };

  explicit TransformerNet(const Options& options);

  // The reference takes and returns RGB in [0, 255]; here both are scaled from and to [-1, 1]. It
  // ends without tanh: in evaluation mode what lies outside of the range is cut off, in training
  // mode it is returned, so that it keeps its gradient.
  torch::Tensor forward(const torch::Tensor& x) override;
  // Uniform within 1 / sqrt(fan-in), PyTorch's default, and biases 0.
  void InitializeWeights(at::Generator random) override;

 private:
  torch::Tensor Body(const torch::Tensor& pixels);

  // The reference's ConvLayer, UpsampleConvLayer and ResidualBlock.
  class ConvLayer;
  class ResidualBlock;
  using ConvPtr = std::shared_ptr<ConvLayer>;

  ConvPtr conv1_, conv2_, conv3_, deconv1_, deconv2_, deconv3_;
  InstanceNorm in1_, in2_, in3_, in4_, in5_;
  std::vector<std::shared_ptr<ResidualBlock>> blocks_;
};

}  // namespace atelier::nn
