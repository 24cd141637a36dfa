#include "worker/nn/unet_generator.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "worker/nn/blocks.h"
#include "worker/nn/dropout.h"
#include "worker/nn/quantized_convolution.h"

namespace atelier::nn {
namespace {

enum class Place { kInnermost, kMiddle, kOutermost };

struct BlockOptions {
  Place place = Place::kMiddle;
  int in_channels = 0;     // of the block's input
  int inner_channels = 0;  // at half the size
  int out_channels = 0;
  NormKind norm = NormKind::kBatch;
  bool dropout = false;
  bool int8 = false;
};

// Halves the size, runs the next block and doubles the size again; all but the outermost return
// their input beside the result.
class UnetBlockImpl final : public torch::nn::Module {
 public:
  // `inside`: the next block, or nullptr in the innermost.
  UnetBlockImpl(const BlockOptions& options, const std::shared_ptr<UnetBlockImpl>& inside)
      : outermost_(options.place == Place::kOutermost),
        model_(register_module("model", torch::nn::Sequential())) {
    const bool bias = ConvolutionHasBias(options.norm);
    if (!outermost_) {
      model_->push_back(
          torch::nn::LeakyReLU(torch::nn::LeakyReLUOptions().negative_slope(0.2).inplace(true)));
    }
    // The first convolution decides the colours.
    model_->push_back(MakeMaybeQuantized({.in_channels = options.in_channels,
                                          .out_channels = options.inner_channels,
                                          .kernel = 4,
                                          .stride = 2,
                                          .padding = 1,
                                          .bias = bias},
                                         options.int8 && !outermost_));
    if (options.place == Place::kMiddle) {
      model_->push_back(MakeNorm(options.norm, options.inner_channels));
    }
    if (inside != nullptr) {
      model_->push_back(inside);
    }
    model_->push_back(torch::nn::ReLU(true));
    const int features = inside == nullptr ? options.inner_channels : 2 * options.inner_channels;
    model_->push_back(UpConv(features, options.out_channels, /*kernel=*/4, outermost_ || bias));
    if (outermost_) {
      model_->push_back(torch::nn::Tanh());
    } else {
      model_->push_back(MakeNorm(options.norm, options.out_channels));
    }
    if (options.dropout) {
      model_->push_back(KeyedDropout(0.5));
    }
  }

  torch::Tensor forward(const torch::Tensor& x) {
    torch::Tensor y = model_->forward(x);
    // The first layer has overwritten x: what skips the block is the activated input, as in the
    // reference.
    return outermost_ ? y : torch::cat({x, y}, 1);
  }

 private:
  bool outermost_;
  torch::nn::Sequential model_;
};

std::shared_ptr<UnetBlockImpl> MakeBlocks(const UnetGenerator::Options& options) {
  const int widest = 8 * options.ngf;
  const auto make = [&options](BlockOptions block, const std::shared_ptr<UnetBlockImpl>& inside) {
    block.norm = options.norm;
    block.int8 = options.int8;
    return std::make_shared<UnetBlockImpl>(block, inside);
  };
  const auto same = [&](Place place, bool dropout) {
    return BlockOptions{.place = place,
                        .in_channels = widest,
                        .inner_channels = widest,
                        .out_channels = widest,
                        .dropout = dropout};
  };
  std::shared_ptr<UnetBlockImpl> block = make(same(Place::kInnermost, false), nullptr);
  for (int i = 0; i < options.downs - 5; ++i) {
    block = make(same(Place::kMiddle, options.dropout), block);
  }
  for (const int times : {4, 2, 1}) {
    const int channels = times * options.ngf;
    block = make(
        {.in_channels = channels, .inner_channels = 2 * channels, .out_channels = channels}, block);
  }
  return make({.place = Place::kOutermost,
               .in_channels = 3,
               .inner_channels = options.ngf,
               .out_channels = 3},
              block);
}

}  // namespace

UnetGenerator::UnetGenerator(const Options& options) : multiple_(1 << options.downs) {
  ATELIER_CHECK(options.downs >= 5 && options.downs <= 12 && options.ngf > 0);
  model_ = torch::nn::AnyModule(register_module("model", MakeBlocks(options)));
}

torch::Tensor UnetGenerator::forward(const torch::Tensor& x) {
  const torch::Tensor y = model_.forward(PadToMultiple(x, multiple_));
  return y.slice(2, 0, x.size(2)).slice(3, 0, x.size(3));
}

void UnetGenerator::SetDropoutRandom(const std::vector<at::Generator>& randoms) {
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* dropout = module->as<KeyedDropout>(); dropout != nullptr) {
      dropout->SetRandom(randoms);
    }
  }
}

void UnetGenerator::InitializeWeights(at::Generator random) {
  InitializeNormal(*this, std::move(random));
}

}  // namespace atelier::nn
