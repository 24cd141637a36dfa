#include "worker/nn/resnet_generator.h"

#include <torch/torch.h>

#include "common/check.h"
#include "worker/nn/blocks.h"

namespace atelier::nn {
namespace {

torch::nn::Conv2d Convolution(int in, int out, int kernel, int stride, int padding) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding));
}

// x + conv_block(x), where conv_block is pad, convolution, norm, ReLU, pad, convolution, norm.
class ResnetBlockImpl final : public torch::nn::Module {
 public:
  explicit ResnetBlockImpl(int channels)
      : conv_block_(register_module(
            "conv_block",
            torch::nn::Sequential(
                torch::nn::ReflectionPad2d(1), Convolution(channels, channels, 3, 1, 0),
                InstanceNorm(channels, false), torch::nn::ReLU(true), torch::nn::ReflectionPad2d(1),
                Convolution(channels, channels, 3, 1, 0), InstanceNorm(channels, false)))) {}

  torch::Tensor forward(const torch::Tensor& x) { return conv_block_->forward(x).add_(x); }

 private:
  torch::nn::Sequential conv_block_;
};
TORCH_MODULE(ResnetBlock);

}  // namespace

ResnetGenerator::ResnetGenerator(const Options& options) {
  ATELIER_CHECK(options.blocks > 0 && options.ngf > 0);
  const int ngf = options.ngf;
  // The indices of this sequence are the parameters' names: modules without parameters count too.
  torch::nn::Sequential model(torch::nn::ReflectionPad2d(3), Convolution(3, ngf, 7, 1, 0),
                              InstanceNorm(ngf, false), torch::nn::ReLU(true),
                              Convolution(ngf, 2 * ngf, 3, 2, 1), InstanceNorm(2 * ngf, false),
                              torch::nn::ReLU(true), Convolution(2 * ngf, 4 * ngf, 3, 2, 1),
                              InstanceNorm(4 * ngf, false), torch::nn::ReLU(true));
  for (int i = 0; i < options.blocks; ++i) {
    model->push_back(ResnetBlock(4 * ngf));
  }
  model->extend(*torch::nn::Sequential(
      UpConv(4 * ngf, 2 * ngf), InstanceNorm(2 * ngf, false), torch::nn::ReLU(true),
      UpConv(2 * ngf, ngf), InstanceNorm(ngf, false), torch::nn::ReLU(true),
      torch::nn::ReflectionPad2d(3), Convolution(ngf, 3, 7, 1, 0), torch::nn::Tanh()));
  model_ = register_module("model", model);
}

torch::Tensor ResnetGenerator::forward(const torch::Tensor& x) {
  const torch::Tensor y = model_->forward(PadToMultiple(x, 4));
  return y.slice(2, 0, x.size(2)).slice(3, 0, x.size(3));
}

void ResnetGenerator::InitializeWeights(at::Generator random) { InitializeNormal(*this, random); }

}  // namespace atelier::nn
