// The small parts that generators and discriminators share.
#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <functional>

namespace atelier::nn {

// Pads [N, C, H, W] by reflection at the right and bottom so that `multiple` divides H and W.
torch::Tensor PadToMultiple(const torch::Tensor& x, int multiple);

// instance_norm.h as a layer. `affine` registers "weight" and "bias" [C].
class InstanceNormImpl final : public torch::nn::Module {
 public:
  InstanceNormImpl(int channels, bool affine);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::Tensor weight_;
  torch::Tensor bias_;
};
TORCH_MODULE(InstanceNorm);

// Transposed convolution, kernel 3, stride 2, output exactly twice the input's size. On CPUs it
// runs picture by picture: LibTorch's kernel sums in an order that depends on the batch.
class UpConvImpl final : public torch::nn::Module {
 public:
  UpConvImpl(int in_channels, int out_channels);
  torch::Tensor forward(const torch::Tensor& x);

  torch::Tensor weight;  // [in, out, 3, 3]
  torch::Tensor bias;    // [out]
};
TORCH_MODULE(UpConv);

// Convolution with reflection padding, affine instance norm, ReLU: "conv.weight", "norm.weight",
// "norm.bias".
class ConvNormReluImpl final : public torch::nn::Module {
 public:
  ConvNormReluImpl(int in_channels, int out_channels, int kernel, int stride);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  int kernel_;
  torch::nn::Conv2d conv_;
  InstanceNorm norm_;
};
TORCH_MODULE(ConvNormRelu);

// Fills the weights of convolutions below `module` by fill(weight), their biases with 0, norms with
// 1 and 0.
void InitializeConvolutions(torch::nn::Module& module,
                            const std::function<void(torch::Tensor&)>& fill);

// Normal(0, 0.02), the start of CycleGAN and pix2pix.
void InitializeNormal(torch::nn::Module& module, at::Generator random);

}  // namespace atelier::nn
