#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/golden/reference.h"
#include "tests/worker/nn/numbers.h"
#include "worker/models/weights.h"
#include "worker/nn/efficientnet_lite.h"
#include "worker/nn/multi_scale_discriminator.h"
#include "worker/nn/patch_discriminator.h"
#include "worker/nn/pixel_discriminator.h"
#include "worker/nn/projected_discriminator.h"
#include "worker/nn/resnet_generator.h"
#include "worker/nn/spectral_norm.h"

namespace atelier::nn {
namespace {

using golden::Picture;

std::shared_ptr<EfficientNetLite> FeatureNetwork() {
  auto network = std::make_shared<EfficientNetLite>(0);
  network->Fold();
  return network;
}

torch::Tensor Batch(std::int64_t side) {
  return torch::cat({Picture(side, side), Picture(side, side).flip(3)});
}

struct DiscriminatorCase {
  std::string name;
  std::function<std::shared_ptr<Discriminator>()> make;
  std::size_t scales;
  std::size_t layers;
};

template <typename Network>
DiscriminatorCase MakeDiscriminatorCase(const std::string& name,
                                        const typename Network::Options& options,
                                        std::size_t scales, std::size_t layers) {
  return {name, [options] { return std::make_shared<Network>(options); }, scales, layers};
}

class EveryDiscriminator : public testing::TestWithParam<DiscriminatorCase> {
 protected:
  static std::shared_ptr<Discriminator> Make(std::uint64_t seed = 1) {
    std::shared_ptr<Discriminator> discriminator = GetParam().make();
    discriminator->InitializeWeights(Random(seed));
    return discriminator;
  }
};

INSTANTIATE_TEST_SUITE_P(
    Networks, EveryDiscriminator,
    testing::Values(
        MakeDiscriminatorCase<PatchDiscriminator>("Patch", {.ndf = 4}, 1, 5),
        MakeDiscriminatorCase<PatchDiscriminator>(
            "PatchSpectral", {.ndf = 4, .norm = NormKind::kNone, .spectral_norm = true}, 1, 5),
        MakeDiscriminatorCase<PatchDiscriminator>("PatchLayerNorm",
                                                  {.ndf = 4, .layers = 2, .norm = NormKind::kLayer},
                                                  1, 4),
        MakeDiscriminatorCase<PatchDiscriminator>("PatchAntialias", {.ndf = 4, .antialias = true},
                                                  1, 5),
        MakeDiscriminatorCase<PixelDiscriminator>("Pixel", {.ndf = 4, .spectral_norm = true}, 1, 3),
        MakeDiscriminatorCase<MultiScaleDiscriminator>(
            "MultiScale", {.scales = 2, .patch = {.ndf = 4, .layers = 2}}, 2, 4),
        DiscriminatorCase{"Projected",
                          [] {
                            return std::make_shared<ProjectedDiscriminator>(
                                ProjectedDiscriminator::Options{.channels = 4}, FeatureNetwork());
                          },
                          4, 5}),
    [](const auto& info) { return info.param.name; });

TEST_P(EveryDiscriminator, JudgesWithFiniteMapsFinestFirst) {
  const torch::NoGradGuard no_grad;
  const Discriminator::Judgement judgement = Make()->Judge(Batch(80));
  ASSERT_EQ(judgement.logits.size(), GetParam().scales);
  ASSERT_EQ(judgement.features.size(), GetParam().scales);
  for (const torch::Tensor& map : judgement.logits) {
    EXPECT_EQ(map.size(0), 2);
    EXPECT_EQ(map.size(1), 1);
    EXPECT_LE(map.size(2), judgement.logits.front().size(2));
    EXPECT_TRUE(torch::isfinite(map).all().item<bool>());
  }
  EXPECT_EQ(judgement.features.front().size(), GetParam().layers - 1);
}

TEST_P(EveryDiscriminator, PassesAPenaltysGradientToEveryWeight) {
  const std::shared_ptr<Discriminator> discriminator = Make();
  const torch::Tensor x = Batch(64).requires_grad_();
  torch::Tensor sum = torch::zeros({});
  for (const torch::Tensor& map : discriminator->forward(x)) {
    sum = sum + map.square().sum();
  }
  const torch::Tensor gradient =
      torch::autograd::grad({sum}, {x}, {}, true, /*create_graph=*/true)[0];
  EXPECT_GT(gradient.abs().max().item<float>(), 0.0F);
  gradient.square().sum().backward();
  for (const auto& item : discriminator->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_TRUE(torch::isfinite(item.value().grad()).all().item<bool>()) << item.key();
  }
}

TEST_P(EveryDiscriminator, FreezesItsFirstLayersUntilTold) {
  const std::shared_ptr<Discriminator> discriminator = Make();
  const auto frozen = [&] {
    std::size_t count = 0;
    for (const Discriminator::Layer& layer : discriminator->Layers()) {
      bool wanted = false;
      for (const torch::Tensor& weight : layer) {
        wanted = wanted || weight.requires_grad();
      }
      count += wanted ? 0 : 1;
    }
    return count;
  };
  ASSERT_EQ(discriminator->Layers().size(), GetParam().layers);
  EXPECT_EQ(frozen(), 0u);
  discriminator->FreezeLayers(2);
  EXPECT_EQ(frozen(), 2u);
  EXPECT_FALSE(discriminator->Layers()[1].front().requires_grad());
  discriminator->WantGradients(false);
  EXPECT_EQ(frozen(), GetParam().layers);
  discriminator->WantGradients(true);
  EXPECT_EQ(frozen(), 2u);
  discriminator->FreezeLayers(0);
  EXPECT_EQ(frozen(), 0u);
}

TEST_P(EveryDiscriminator, LayersAreAllOfItsParameters) {
  const std::shared_ptr<Discriminator> discriminator = Make();
  std::size_t count = 0;
  for (const Discriminator::Layer& layer : discriminator->Layers()) {
    count += layer.size();
  }
  EXPECT_EQ(count, discriminator->parameters().size());
}

TEST_P(EveryDiscriminator, InitialisesEquallyFromEqualSeeds) {
  const models::TensorMap first = models::CollectWeights(*Make(7));
  const models::TensorMap second = models::CollectWeights(*Make(7));
  for (const auto& [name, tensor] : first) {
    EXPECT_TRUE(torch::equal(tensor, second.at(name))) << name;
  }
}

TEST(PixelDiscriminator, HasTheReferencesParameters) {
  EXPECT_EQ(models::CountParameters(PixelDiscriminator({})), 8'705u);
}

TEST(MultiScaleDiscriminator, JudgesAGeneratorsLevels) {
  const torch::NoGradGuard no_grad;
  ResnetGenerator generator({.blocks = 1, .ngf = 2, .multi_level = true});
  MultiScaleDiscriminator discriminator({.scales = 3, .patch = {.ndf = 2, .layers = 2}});
  const torch::Tensor x = Picture(96, 64);
  const auto fake = discriminator.JudgePyramid(generator.ForwardLevels(x)).logits;
  const auto real = discriminator.Judge(x).logits;
  ASSERT_EQ(fake.size(), 3u);
  for (std::size_t i = 0; i < fake.size(); ++i) {
    EXPECT_EQ(fake[i].sizes(), real[i].sizes());
  }
}

TEST(ProjectedDiscriminator, KeepsItsRandomMixingButNotTheNetwork) {
  ProjectedDiscriminator discriminator({.channels = 2}, FeatureNetwork());
  discriminator.InitializeWeights(Random(1));
  const models::TensorMap weights = models::CollectWeights(discriminator);
  EXPECT_EQ(weights.at("mix_channels_3").sizes(), torch::IntArrayRef({16, 320, 1, 1}));
  EXPECT_GT(weights.at("mix_scales_0").abs().max().item<float>(), 0.0F);
  EXPECT_FALSE(weights.at("mix_channels_0").requires_grad());
  for (const auto& [name, tensor] : weights) {
    EXPECT_FALSE(name.starts_with("_blocks")) << name;
  }
}

TEST(ProjectedDiscriminator, JudgesSizesThatItsStridesDoNotDivide) {
  const torch::NoGradGuard no_grad;
  ProjectedDiscriminator discriminator({.channels = 2}, FeatureNetwork());
  discriminator.InitializeWeights(Random(1));
  for (const torch::Tensor& map : discriminator.forward(Picture(71, 93))) {
    EXPECT_TRUE(torch::isfinite(map).all().item<bool>());
  }
}

TEST(SpectralNorm, ComputesItsNormInFp32UnderAutocast) {
  SpectralConv2d layer(ConvolutionOptions{.in_channels = 3, .out_channels = 8, .kernel = 3});
  layer->ResetVectors(Random(1));
  for (int i = 0; i < 200; ++i) {
    layer->forward(Picture(8, 8));
  }
  layer->eval();
  const torch::Tensor expected = layer->forward(Picture(8, 8));
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const torch::Tensor y = layer->forward(Picture(8, 8));
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
  EXPECT_TRUE(torch::allclose(y.to(torch::kFloat), expected, 0.02, 0.02));
  const auto parameters = layer->named_parameters();
  const torch::Tensor matrix = parameters["weight_orig"].reshape({8, -1});
  const auto buffers = layer->named_buffers();
  const double sigma =
      torch::dot(buffers["weight_u"], torch::mv(matrix, buffers["weight_v"])).item<double>();
  EXPECT_NEAR(sigma, torch::linalg_matrix_norm(matrix, 2).item<double>(), 1e-3 * sigma);
}

}  // namespace
}  // namespace atelier::nn
