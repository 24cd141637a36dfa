#include "worker/models/pruning.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <string>

#include "worker/models/generator_table.h"
#include "worker/models/weights.h"
#include "worker/nn/blocks.h"

namespace atelier::models {
namespace {

struct Case {
  const char* name;
  Architecture architecture;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Pruning : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Generators, Pruning,
    testing::Values(
        Case{"Resnet", {.generator = "resnet-6", .base_channels = 8, .norm = "none"}},
        Case{"BatchNorm", {.generator = "resnet-6", .base_channels = 8, .norm = "batch"}},
        Case{"Antialias",
             {.generator = "resnet-6", .base_channels = 8, .norm = "none", .antialias = true}},
        Case{"ResizeConvolution",
             {.generator = "resnet-6",
              .base_channels = 8,
              .norm = "none",
              .resize_convolution = true}},
        Case{"MultiLevel",
             {.generator = "resnet-6", .base_channels = 8, .norm = "none", .multi_level = true}},
        Case{"Unet64", {.generator = "unet-64", .base_channels = 8, .norm = "none"}},
        Case{"Unet128", {.generator = "unet-128", .base_channels = 8, .norm = "batch"}}),
    [](const auto& info) { return std::string(info.param.name); });

// Every second channel of every layer hardly says anything.
void SilenceOddChannels(nn::Generator& network) {
  const torch::NoGradGuard no_grad;
  for (const auto& module : network.named_modules()) {
    for (auto& parameter : module.value()->named_parameters(/*recurse=*/false)) {
      torch::Tensor& weight = parameter.value();
      if (weight.dim() != 4) {
        continue;
      }
      const bool transposed = module.value()->as<nn::UpConvImpl>() != nullptr;
      torch::Tensor channels = transposed ? weight.transpose(0, 1) : weight;
      if (channels.size(0) > 3) {
        channels.slice(0, 1, channels.size(0), 2).mul_(1e-7);
      }
    }
  }
}

TEST_P(Pruning, TakesOutWhatHardlySaysAnythingAndNothingElse) {
  const Architecture& whole = GetParam().architecture;
  const auto network = MakeGenerator(whole).value();
  at::Generator random = at::make_generator<at::CPUGeneratorImpl>(3);
  network->InitializeWeights(random);
  {
    // Larger than a training's start, so that the picture has some contrast.
    const torch::NoGradGuard no_grad;
    for (torch::Tensor& weight : network->parameters()) {
      if (weight.dim() == 4) {
        weight.mul_(4);
      }
    }
  }
  SilenceOddChannels(*network);

  const Architecture pruned = PrunedArchitecture(whole, 0.5);
  EXPECT_EQ(pruned.base_channels, 4);
  const auto left = PruneChannels(whole, *network, pruned);
  ASSERT_TRUE(left.ok()) << left.status();
  const auto small = MakeGenerator(pruned).value();
  ASSERT_TRUE(LoadWeights(*small, *left, /*strict=*/true).ok());
  EXPECT_LT(CountParameters(*small), 0.3 * static_cast<double>(CountParameters(*network)));

  torch::manual_seed(1);
  const torch::Tensor picture = torch::rand({1, 3, 64, 64}) * 2 - 1;
  const torch::NoGradGuard no_grad;
  const torch::Tensor before = network->forward(picture);
  const torch::Tensor after = small->forward(picture);
  EXPECT_GT(before.std().item<double>(), 1e-3);
  EXPECT_LT((before - after).abs().max().item<double>(), 1e-4 * before.abs().max().item<double>());
}

TEST(PruningTest, ASmallShareLeavesFourChannels) {
  const Architecture architecture = {.generator = "resnet-9", .base_channels = 64};
  EXPECT_EQ(PrunedArchitecture(architecture, 0.5).base_channels, 32);
  EXPECT_EQ(PrunedArchitecture(architecture, 0.7).base_channels, 44);
  EXPECT_EQ(PrunedArchitecture(architecture, 0.01).base_channels, 4);
  EXPECT_EQ(PrunedArchitecture(architecture, 0.99).base_channels, 64);
}

}  // namespace
}  // namespace atelier::models
