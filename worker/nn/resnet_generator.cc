#include "worker/nn/resnet_generator.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "worker/nn/antialias.h"
#include "worker/nn/blocks.h"
#include "worker/nn/quantized_convolution.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {
namespace {

constexpr int kResnetMultiple = 4;

// x + conv_block(x), where conv_block is pad, convolution, norm, ReLU, pad, convolution, norm.
class ResnetBlockImpl final : public torch::nn::Module {
 public:
  ResnetBlockImpl(int channels, NormKind norm, bool int8)
      : conv_block_(register_module("conv_block", torch::nn::Sequential())) {
    const ConvolutionOptions convolution{.in_channels = channels,
                                         .out_channels = channels,
                                         .kernel = 3,
                                         .bias = ConvolutionHasBias(norm)};
    for (const bool last : {false, true}) {
      conv_block_->push_back(torch::nn::ReflectionPad2d(1));
      conv_block_->push_back(MakeMaybeQuantized(convolution, int8));
      conv_block_->push_back(MakeNorm(norm, channels));
      if (!last) {
        conv_block_->push_back(torch::nn::ReLU(true));
      }
    }
  }

  torch::Tensor forward(const torch::Tensor& x) { return conv_block_->forward(x).add_(x); }

 private:
  torch::nn::Sequential conv_block_;
};
TORCH_MODULE(ResnetBlock);

torch::nn::Conv2d ToRgb(int channels) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(channels, 3, 1));
}

torch::Tensor Crop(const torch::Tensor& y, std::int64_t height, std::int64_t width) {
  return y.slice(2, 0, height).slice(3, 0, width);
}

}  // namespace

// The indices of "model" are the parameters' names: modules without parameters count, too.
ResnetGenerator::ResnetGenerator(const Options& options)
    : options_(options), model_(register_module("model", torch::nn::Sequential())) {
  ATELIER_CHECK(options.blocks > 0 && options.ngf > 0);
  ATELIER_CHECK(!(options.antialias && options.resize_convolution));
  const int ngf = options.ngf;
  model_->push_back(torch::nn::ReflectionPad2d(3));
  model_->push_back(MakeConvolution({.in_channels = 3,
                                     .out_channels = ngf,
                                     .kernel = 7,
                                     .bias = ConvolutionHasBias(options.norm)},
                                    /*spectral=*/false));
  PushNormRelu(ngf);
  PushDown(ngf);
  PushDown(2 * ngf);
  for (int i = 0; i < options.blocks; ++i) {
    model_->push_back(ResnetBlock(4 * ngf, options.norm, options.int8));
  }
  quarter_end_ = model_->size();
  PushUp(4 * ngf);
  half_end_ = model_->size();
  PushUp(2 * ngf);
  model_->push_back(torch::nn::ReflectionPad2d(3));
  model_->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(ngf, 3, 7)));
  model_->push_back(torch::nn::Tanh());
  if (options.multi_level) {
    rgb_quarter_ = register_module("rgb_quarter", ToRgb(4 * ngf));
    rgb_half_ = register_module("rgb_half", ToRgb(2 * ngf));
  }
}

void ResnetGenerator::PushConvolution(int in, int out, int stride) {
  model_->push_back(MakeMaybeQuantized({.in_channels = in,
                                        .out_channels = out,
                                        .kernel = 3,
                                        .stride = stride,
                                        .padding = 1,
                                        .bias = ConvolutionHasBias(options_.norm)},
                                       options_.int8));
}

void ResnetGenerator::PushNormRelu(int channels) {
  model_->push_back(MakeNorm(options_.norm, channels));
  model_->push_back(torch::nn::ReLU(true));
}

void ResnetGenerator::PushDown(int channels) {
  PushConvolution(channels, 2 * channels, options_.antialias ? 1 : 2);
  PushNormRelu(2 * channels);
  if (options_.antialias) {
    model_->push_back(Downsample(2 * channels));
  }
}

void ResnetGenerator::PushUp(int channels) {
  const bool bias = ConvolutionHasBias(options_.norm);
  if (options_.antialias) {
    model_->push_back(Upsample(channels));
    PushConvolution(channels, channels / 2, /*stride=*/1);
  } else if (options_.resize_convolution) {
    model_->push_back(ResizeConv(channels, channels / 2, bias));
  } else {
    model_->push_back(UpConv(channels, channels / 2, /*kernel=*/3, bias));
  }
  PushNormRelu(channels / 2);
}

torch::Tensor ResnetGenerator::forward(const torch::Tensor& x) {
  return Crop(model_->forward(PadToMultiple(x, kResnetMultiple)), x.size(2), x.size(3));
}

std::vector<torch::Tensor> ResnetGenerator::Features(const torch::Tensor& x,
                                                     const std::vector<int>& layers) {
  ATELIER_CHECK(!layers.empty() && std::ranges::is_sorted(layers) && layers.front() >= 0 &&
                std::cmp_less(layers.back(), model_->size()));
  std::vector<torch::Tensor> features;
  torch::Tensor h = PadToMultiple(x, kResnetMultiple);
  auto wanted = layers.begin();
  for (int i = 0; wanted != layers.end(); ++i) {
    h = (model_->begin() + i)->forward(h);
    for (; wanted != layers.end() && *wanted == i; ++wanted) {
      // What a ReLU is about to overwrite must be kept apart.
      const bool overwritten = i + 1 < static_cast<int>(model_->size()) &&
                               model_->ptr(i + 1)->as<torch::nn::ReLU>() != nullptr;
      features.push_back(overwritten ? h.clone() : h);
    }
  }
  return features;
}

std::vector<torch::Tensor> ResnetGenerator::ForwardLevels(const torch::Tensor& x) {
  ATELIER_CHECK(options_.multi_level);
  const auto less = [](std::int64_t side, std::int64_t divisor) {
    return (side + divisor - 1) / divisor;
  };
  torch::Tensor h = PadToMultiple(x, kResnetMultiple);
  torch::Tensor half;
  torch::Tensor quarter;
  for (std::size_t i = 0; i < model_->size(); ++i) {
    if (i == quarter_end_) {
      quarter = torch::tanh(rgb_quarter_(h));
    } else if (i == half_end_) {
      half = torch::tanh(rgb_half_(h));
    }
    h = (model_->begin() + static_cast<std::ptrdiff_t>(i))->forward(h);
  }
  return {Crop(h, x.size(2), x.size(3)), Crop(half, less(x.size(2), 2), less(x.size(3), 2)),
          Crop(quarter, less(x.size(2), 4), less(x.size(3), 4))};
}

void ResnetGenerator::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, std::move(random));
}

}  // namespace atelier::nn
