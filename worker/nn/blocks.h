// The small parts that generators and discriminators share.
#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/pimpl.h>

#include <functional>

namespace atelier::nn {

// Pads [N, C, H, W] by reflection at the right and bottom so that `multiple` divides H and W. What
// a small picture lacks is reflected again and again; a side of one pixel is repeated.
torch::Tensor PadToMultiple(const torch::Tensor& x, int multiple);

// Nearest neighbours, twice the height and the width.
torch::Tensor DoubleNearest(const torch::Tensor& x);

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

// Transposed convolution, kernel 3 or 4, stride 2, output exactly twice the input's size. On CPUs
// it runs picture by picture: LibTorch's kernel sums in an order that depends on the batch.
class UpConvImpl final : public torch::nn::Module {
 public:
  UpConvImpl(int in_channels, int out_channels, int kernel, bool with_bias);
  torch::Tensor forward(const torch::Tensor& x);

  torch::Tensor weight;  // [in, out, kernel, kernel]
  torch::Tensor bias;    // [out], or undefined
};
TORCH_MODULE(UpConv);

// Nearest neighbours, then a convolution, kernel 3, padded by reflection: output exactly twice the
// input's size, and no checkerboards, because every pixel gets equally many contributions (Odena et
// al. 2016, Distill, "Deconvolution and checkerboard artifacts"). "weight" [out, in, 3, 3], "bias".
class ResizeConvImpl final : public torch::nn::Module {
 public:
  ResizeConvImpl(int in_channels, int out_channels, bool with_bias);
  torch::Tensor forward(const torch::Tensor& x);

 private:
  torch::Tensor weight_;
  torch::Tensor bias_;
};
TORCH_MODULE(ResizeConv);

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

// The start of CycleGAN, pix2pix and DCGAN: convolutions Normal(0, 0.02), biases 0, batch norms
// Normal(1, 0.02) with fresh statistics, other norms 1 and 0; spectral norms' vectors are drawn
// afresh.
void InitializeNormal(torch::nn::Module& module, at::Generator random);

// The start of CUT, its authors' "xavier" with gain 0.02 (Glorot and Bengio 2010): convolutions and
// linear layers Normal(0, (0.02 sqrt(2 / (in + out)))^2), in and out being channels times the
// kernel's places; all else as InitializeNormal.
void InitializeXavier(torch::nn::Module& module, at::Generator random);

}  // namespace atelier::nn
