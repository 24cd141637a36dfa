#include "worker/nn/transformer_net.h"

#include <torch/torch.h>

#include <cmath>
#include <utility>

#include "common/check.h"
#include "worker/nn/blocks.h"

namespace atelier::nn {
namespace {

constexpr int kTransformerMultiple = 4;
constexpr int kTransformerBlocks = 5;
constexpr double kHalfRange = 127.5;

}  // namespace

// A convolution after padding by reflection, "conv2d".
class TransformerNet::ConvLayer final : public torch::nn::Module {
 public:
  ConvLayer(int in, int out, int kernel, int stride)
      : pad_(kernel / 2),
        conv2d_(register_module(
            "conv2d",
            torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).stride(stride)))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return conv2d_(torch::reflection_pad2d(x, {pad_, pad_, pad_, pad_}));
  }

 private:
  int pad_;
  torch::nn::Conv2d conv2d_;
};

class TransformerNet::ResidualBlock final : public torch::nn::Module {
 public:
  explicit ResidualBlock(int channels)
      : conv1_(register_module("conv1", std::make_shared<ConvLayer>(channels, channels, 3, 1))),
        in1_(register_module("in1", InstanceNorm(channels, /*affine=*/true))),
        conv2_(register_module("conv2", std::make_shared<ConvLayer>(channels, channels, 3, 1))),
        in2_(register_module("in2", InstanceNorm(channels, /*affine=*/true))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return in2_(conv2_->forward(in1_(conv1_->forward(x)).relu_())) + x;
  }

 private:
  ConvPtr conv1_;
  InstanceNorm in1_;
  ConvPtr conv2_;
  InstanceNorm in2_;
};

TransformerNet::TransformerNet(const Options& options)
    : in1_(nullptr), in2_(nullptr), in3_(nullptr), in4_(nullptr), in5_(nullptr) {
  ATELIER_CHECK(options.channels > 0);
  const int width = options.channels;
  const auto convolution = [this](const char* name, int in, int out, int kernel, int stride) {
    return register_module(name, std::make_shared<ConvLayer>(in, out, kernel, stride));
  };
  const auto norm = [this](const char* name, int channels) {
    return register_module(name, InstanceNorm(channels, /*affine=*/true));
  };
  conv1_ = convolution("conv1", 3, width, 9, 1);
  in1_ = norm("in1", width);
  conv2_ = convolution("conv2", width, 2 * width, 3, 2);
  in2_ = norm("in2", 2 * width);
  conv3_ = convolution("conv3", 2 * width, 4 * width, 3, 2);
  in3_ = norm("in3", 4 * width);
  for (int i = 1; i <= kTransformerBlocks; ++i) {
    blocks_.push_back(
        register_module("res" + std::to_string(i), std::make_shared<ResidualBlock>(4 * width)));
  }
  deconv1_ = convolution("deconv1", 4 * width, 2 * width, 3, 1);
  in4_ = norm("in4", 2 * width);
  deconv2_ = convolution("deconv2", 2 * width, width, 3, 1);
  in5_ = norm("in5", width);
  deconv3_ = convolution("deconv3", width, 3, 9, 1);
}

torch::Tensor TransformerNet::Body(const torch::Tensor& pixels) {
  torch::Tensor h = in1_(conv1_->forward(pixels)).relu_();
  h = in2_(conv2_->forward(h)).relu_();
  h = in3_(conv3_->forward(h)).relu_();
  for (const auto& block : blocks_) {
    h = block->forward(h);
  }
  h = in4_(deconv1_->forward(DoubleNearest(h))).relu_();
  h = in5_(deconv2_->forward(DoubleNearest(h))).relu_();
  return deconv3_->forward(h);
}

torch::Tensor TransformerNet::forward(const torch::Tensor& x) {
  const torch::Tensor pixels = (PadToMultiple(x, kTransformerMultiple) + 1.0) * kHalfRange;
  const torch::Tensor y = Body(pixels) / kHalfRange - 1.0;
  const torch::Tensor cut = y.slice(2, 0, x.size(2)).slice(3, 0, x.size(3));
  return is_training() ? cut : cut.clamp(-1.0, 1.0);
}

void TransformerNet::InitializeWeights(at::Generator random) {
  InitializeConvolutions(*this, [&](torch::Tensor& weight) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(weight[0].numel()));
    weight.uniform_(-bound, bound, random);
  });
}

}  // namespace atelier::nn
