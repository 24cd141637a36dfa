// Convolutions in 8-bit integers, alone and within generators.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/golden/reference.h"
#include "tests/worker/nn/numbers.h"
#include "worker/nn/memory_format.h"
#include "worker/nn/quantized_convolution.h"
#include "worker/nn/resnet_generator.h"
#include "worker/nn/unet_generator.h"

namespace atelier::nn {
namespace {

// With weights whose channels differ by orders of magnitude.
QuantizedConvolution Quantized(const ConvolutionOptions& options, const InputGrid& grid) {
  QuantizedConvolution convolution(options);
  const std::int64_t out = options.out_channels;
  const torch::Tensor sizes = torch::logspace(-2, 0, out).view({out, 1, 1, 1});
  const torch::Tensor weight =
      sizes * Numbers(7, {out, options.in_channels, options.kernel, options.kernel});
  convolution->SetWeights(weight, options.bias ? Numbers(3, {out}) : torch::Tensor());
  convolution->SetInputGrid(grid);
  return convolution;
}

struct Shape {
  ConvolutionOptions options;
  std::int64_t height;
  std::int64_t width;
};

TEST(QuantizedConvolution, EqualsItsReference) {
  const std::vector<Shape> shapes = {
      {{.in_channels = 16, .out_channels = 32, .kernel = 3}, 21, 18},
      {{.in_channels = 5, .out_channels = 7, .kernel = 3, .stride = 2, .padding = 1}, 15, 32},
      {{.in_channels = 8, .out_channels = 4, .kernel = 4, .stride = 2, .padding = 1, .bias = false},
       16,
       2},
      {{.in_channels = 64, .out_channels = 128, .kernel = 3, .stride = 2, .padding = 1}, 24, 1},
      {{.in_channels = 64, .out_channels = 128, .kernel = 4, .stride = 2, .padding = 1}, 40, 3},
      {{.in_channels = 64, .out_channels = 128, .kernel = 4, .stride = 2, .padding = 1}, 3, 40},
      {{.in_channels = 3, .out_channels = 64, .kernel = 7}, 40, 9},
  };
  for (const Shape& shape : shapes) {
    for (const double low : {-1.0, 0.0}) {
      const InputGrid grid = GridFor(low, 0.9);
      QuantizedConvolution convolution = Quantized(shape.options, grid);
      // Some values lie outside of the grid.
      const torch::Tensor x = Numbers(1, {2, shape.options.in_channels, shape.height, shape.width});
      const torch::Tensor result = convolution->forward(x);
      const torch::Tensor reference = convolution->Reference(x);
      ASSERT_EQ(result.sizes(), reference.sizes());
      EXPECT_EQ(result.scalar_type(), torch::kFloat);
      EXPECT_TRUE(result.is_contiguous(torch::MemoryFormat::ChannelsLast));
      // An input halfway between two steps may go either way.
      const double step = grid.scale * 1.0;
      EXPECT_LT((result - reference).abs().max().item<double>(), 1.01 * step) << low;
      EXPECT_LT((result - reference).abs().mean().item<double>(), 1e-5) << low;
    }
  }
}

TEST(QuantizedConvolution, ServesPicturesOfEverySizeAndSeveralThreads) {
  const ConvolutionOptions options{.in_channels = 16, .out_channels = 16, .kernel = 3};
  QuantizedConvolution convolution = Quantized(options, GridFor(-1, 1));
  std::vector<std::thread> threads;
  std::vector<double> worst(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const torch::Tensor x = Numbers(5, {1 + i % 2, 16, 5 + 20 * i, 40 - 7 * i});
      const torch::Tensor result = convolution->forward(x);
      worst[i] = (result - convolution->Reference(x)).abs().mean().item<double>();
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const double each : worst) {
    EXPECT_LT(each, 1e-5);
  }
}

TEST(QuantizedConvolution, ComesNearTheConvolutionItWasMadeOf) {
  const ConvolutionOptions options{.in_channels = 16, .out_channels = 32, .kernel = 3};
  QuantizedConvolution convolution = Quantized(options, GridFor(-1, 1));
  const torch::Tensor x = Numbers(11, {1, 16, 30, 30});
  const torch::Tensor result = convolution->forward(x);
  double low = 0;
  convolution->Observe([&](const torch::Tensor& input) { low = input.min().item<double>(); });
  const torch::Tensor exact = convolution->forward(x);
  EXPECT_EQ(low, x.min().item<double>());
  convolution->Observe(nullptr);
  EXPECT_TRUE(torch::equal(convolution->forward(x), result));
  // Every channel by its own measure: they have scales of their own.
  const torch::Tensor error = (result - exact).abs().mean({0, 2, 3});
  EXPECT_LT((error / exact.std({0, 2, 3})).max().item<double>(), 0.02);
}

TEST(QuantizedConvolution, TakesANewGridAfterItHasRun) {
  const ConvolutionOptions options{.in_channels = 4, .out_channels = 4, .kernel = 3};
  QuantizedConvolution convolution = Quantized(options, GridFor(0, 0.1));
  const torch::Tensor x = Numbers(2, {1, 4, 9, 9});
  const torch::Tensor narrow = convolution->forward(x);
  convolution->SetInputGrid(GridFor(-1, 1));
  const torch::Tensor wide = convolution->forward(x);
  EXPECT_FALSE(torch::allclose(narrow, wide, 0.1, 0.1));
  EXPECT_LT((wide - convolution->Reference(x)).abs().mean().item<double>(), 1e-5);
}

TEST(QuantizedConvolution, RefusesToRunWithoutAGrid) {
  QuantizedConvolution convolution(
      ConvolutionOptions{.in_channels = 4, .out_channels = 4, .kernel = 3});
  EXPECT_THROW(convolution->forward(torch::zeros({1, 4, 8, 8})), c10::Error);
}

TEST(QuantizedConvolution, SurvivesAChannelOfZeros) {
  QuantizedConvolution convolution(
      ConvolutionOptions{.in_channels = 2, .out_channels = 2, .kernel = 3, .bias = false});
  torch::Tensor weight = torch::ones({2, 2, 3, 3});
  weight[1].zero_();
  convolution->SetWeights(weight, {});
  convolution->SetInputGrid(GridFor(0, 1));
  const torch::Tensor result = convolution->forward(torch::ones({1, 2, 3, 3}));
  EXPECT_NEAR(result[0][0].item<float>(), 18, 1e-4);
  EXPECT_EQ(result[0][1].item<float>(), 0);
}

TEST(GridFor, HasAnExactZeroAndReachesBothEnds) {
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {-1, 1}, {0, 6}, {2, 6}, {-3, -1}, {-0.1, 8}, {0, 0}}) {
    const InputGrid grid = GridFor(low, high);
    EXPECT_GT(grid.scale, 0);
    EXPECT_GE(grid.zero_point, 0);
    EXPECT_LE(grid.zero_point, 255);
    const auto zero = static_cast<double>(grid.zero_point);
    EXPECT_NEAR(-zero * grid.scale, std::min(low, 0.0), grid.scale);
    EXPECT_NEAR((255 - zero) * grid.scale, high > low ? std::max(high, 0.0) : 255 * grid.scale,
                grid.scale);
  }
}

// The int8 form of a generator, with the ranges of `picture`.
void Calibrate(Generator& plain, Generator& quantized, const torch::Tensor& picture) {
  const torch::NoGradGuard no_grad;
  UseChannelsLast(plain);
  QuantizeWeights(plain, quantized);
  UseChannelsLast(quantized);
  for (const auto& [name, convolution] : QuantizedConvolutionsOf(quantized)) {
    convolution->Observe([convolution = convolution](const torch::Tensor& x) {
      convolution->SetInputGrid(GridFor(x.min().item<double>(), x.max().item<double>()));
    });
  }
  const torch::Tensor observed = quantized.forward(picture);
  EXPECT_TRUE(torch::equal(observed, plain.forward(picture))) << "observing changes nothing";
  for (const auto& [name, convolution] : QuantizedConvolutionsOf(quantized)) {
    convolution->Observe(nullptr);
  }
}

template <typename Network>
void ExpectNearFp32(typename Network::Options options, std::size_t convolutions) {
  const torch::NoGradGuard no_grad;
  Network plain(options);
  plain.InitializeWeights(Random(3));
  plain.eval();
  options.int8 = true;
  Network quantized(options);
  quantized.eval();
  EXPECT_EQ(QuantizedConvolutionsOf(quantized).size(), convolutions);
  const torch::Tensor picture = golden::Picture(64, 64);
  Calibrate(plain, quantized, picture);
  const torch::Tensor exact = plain.forward(picture);
  const torch::Tensor rounded = quantized.forward(picture);
  const double error = (exact - rounded).abs().mean().item<double>();
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 0.05 * exact.std().item<double>());
}

TEST(QuantizedGenerators, ResnetOfEveryVariant) {
  ExpectNearFp32<ResnetGenerator>({.blocks = 3, .ngf = 8}, 8);
  ExpectNearFp32<ResnetGenerator>({.blocks = 2, .ngf = 8, .norm = NormKind::kBatch}, 6);
  ExpectNearFp32<ResnetGenerator>({.blocks = 2, .ngf = 8, .norm = NormKind::kLayer}, 6);
  ExpectNearFp32<ResnetGenerator>({.blocks = 2, .ngf = 8, .antialias = true}, 8);
  ExpectNearFp32<ResnetGenerator>({.blocks = 2, .ngf = 8, .resize_convolution = true}, 6);
  ExpectNearFp32<ResnetGenerator>({.blocks = 2, .ngf = 8, .multi_level = true}, 6);
}

TEST(QuantizedGenerators, Unet) {
  ExpectNearFp32<UnetGenerator>({.downs = 5, .ngf = 8, .norm = NormKind::kBatch}, 4);
  ExpectNearFp32<UnetGenerator>({.downs = 5, .ngf = 8, .norm = NormKind::kInstance}, 4);
}

TEST(QuantizedGenerators, KeepTheNamesOfTheWeights) {
  ResnetGenerator plain({.blocks = 2, .ngf = 8});
  ResnetGenerator quantized({.blocks = 2, .ngf = 8, .int8 = true});
  const auto names = quantized.named_parameters();
  for (const auto& item : plain.named_parameters()) {
    ASSERT_TRUE(names.contains(item.key())) << item.key();
    EXPECT_EQ(names[item.key()].sizes(), item.value().sizes());
  }
  EXPECT_EQ(names.size(), plain.named_parameters().size());
  EXPECT_EQ(names["model.1.weight"].scalar_type(), torch::kFloat);
  EXPECT_EQ(names["model.4.weight"].scalar_type(), torch::kChar);
  EXPECT_EQ(names["model.10.conv_block.1.weight"].scalar_type(), torch::kChar);
  EXPECT_EQ(names["model.12.weight"].scalar_type(), torch::kFloat);
}

}  // namespace
}  // namespace atelier::nn
