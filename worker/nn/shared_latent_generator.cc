#include "worker/nn/shared_latent_generator.h"

#include <torch/torch.h>

#include <cmath>

#include "common/check.h"
#include "worker/nn/blocks.h"

namespace atelier::nn {
namespace {

// x + norm(convolution(relu(norm(convolution(x))))).
class ResidualBlockImpl final : public torch::nn::Module {
 public:
  explicit ResidualBlockImpl(int channels)
      : first_(register_module("first", ConvNormRelu(channels, channels, 3, 1))),
        second_(register_module(
            "second",
            torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, channels, 3).bias(false)))),
        norm_(register_module("norm", InstanceNorm(channels, /*affine=*/true))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return norm_(second_(torch::reflection_pad2d(first_(x), {1, 1, 1, 1}))).add_(x);
  }

 private:
  ConvNormRelu first_;
  torch::nn::Conv2d second_;
  InstanceNorm norm_;
};
TORCH_MODULE(ResidualBlock);

void PushBlocks(torch::nn::SequentialImpl& sequence, int channels, int blocks) {
  for (int i = 0; i < blocks; ++i) {
    sequence.push_back(ResidualBlock(channels));
  }
}

torch::nn::Sequential MakeEncoder(const SharedLatentGenerator::Options& options) {
  const int base = options.base_channels;
  torch::nn::Sequential encoder(ConvNormRelu(3, base, 7, 1), ConvNormRelu(base, 2 * base, 3, 2),
                                ConvNormRelu(2 * base, 4 * base, 3, 2));
  PushBlocks(*encoder, 4 * base, options.blocks - options.shared_blocks);
  return encoder;
}

torch::nn::Sequential MakeDecoder(const SharedLatentGenerator::Options& options) {
  const int base = options.base_channels;
  torch::nn::Sequential decoder;
  PushBlocks(*decoder, 4 * base, options.blocks - options.shared_blocks);
  for (const int channels : {2 * base, base}) {
    decoder->push_back(ResizeConv(2 * channels, channels, /*with_bias=*/false));
    decoder->push_back(InstanceNorm(channels, /*affine=*/true));
    decoder->push_back(torch::nn::ReLU(true));
  }
  decoder->push_back(torch::nn::ReflectionPad2d(3));
  decoder->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(base, 3, 7)));
  decoder->push_back(torch::nn::Tanh());
  return decoder;
}

torch::nn::Sequential MakeShared(const SharedLatentGenerator::Options& options) {
  torch::nn::Sequential shared;
  PushBlocks(*shared, 4 * options.base_channels, options.shared_blocks);
  return shared;
}

std::size_t Index(SharedLatentGenerator::Domain domain) { return static_cast<std::size_t>(domain); }

}  // namespace

SharedLatentGenerator::SharedLatentGenerator(const Options& options)
    : encoders_({register_module("encoder_source", MakeEncoder(options)),
                 register_module("encoder_target", MakeEncoder(options))}),
      shared_encoder_(register_module("shared_encoder", MakeShared(options))),
      shared_decoder_(register_module("shared_decoder", MakeShared(options))),
      decoders_({register_module("decoder_source", MakeDecoder(options)),
                 register_module("decoder_target", MakeDecoder(options))}) {
  ATELIER_CHECK(options.base_channels > 0 && options.shared_blocks > 0 &&
                options.shared_blocks <= options.blocks);
}

torch::Tensor SharedLatentGenerator::Encode(Domain domain, const torch::Tensor& x) {
  return shared_encoder_->forward(encoders_[Index(domain)]->forward(x));
}

torch::Tensor SharedLatentGenerator::Decode(Domain domain, const torch::Tensor& codes) {
  return decoders_[Index(domain)]->forward(shared_decoder_->forward(codes));
}

torch::Tensor SharedLatentGenerator::forward(const torch::Tensor& x) {
  const torch::Tensor codes = Encode(Domain::kSource, PadToMultiple(x, 4));
  return Decode(Domain::kTarget, codes).slice(2, 0, x.size(2)).slice(3, 0, x.size(3));
}

void SharedLatentGenerator::InitializeWeights(at::Generator random) {
  InitializeConvolutions(*this, [&](torch::Tensor& weight) {
    const auto fan_in = static_cast<double>(weight[0].numel());
    weight.normal_(0.0, std::sqrt(2.0 / fan_in), random);
  });
}

}  // namespace atelier::nn
