// Our networks against small reference networks in PyTorch: tests/golden/make_gan_networks.py wrote
// their weights, outputs and gradients, so that names, shapes and numbers are all compared.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>
#include <string>

#include "tests/golden/reference.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/nn/multi_scale_discriminator.h"
#include "worker/nn/norms.h"
#include "worker/nn/patch_discriminator.h"
#include "worker/nn/pixel_discriminator.h"
#include "worker/nn/resnet_generator.h"
#include "worker/nn/spectral_norm.h"
#include "worker/nn/unet_generator.h"

namespace atelier::nn {
namespace {

using golden::Picture;
using models::TensorMap;

const TensorMap& File() {
  static const TensorMap tensors =
      models::ReadSafetensors(
          std::filesystem::path(ATELIER_SOURCE_DIR) / "tests/golden/gan_networks.safetensors",
          /*max_bytes=*/64u << 20)
          .value()
          .tensors;
  return tensors;
}

const torch::Tensor& Expected(const std::string& name) { return File().at(name); }

void ExpectGolden(const torch::Tensor& actual, const std::string& name, double tolerance = 1e-5) {
  const torch::Tensor& expected = Expected(name);
  ASSERT_EQ(actual.sizes(), expected.sizes()) << name;
  const double scale = expected.abs().max().item<double>();
  EXPECT_LE((actual - expected).abs().max().item<double>(), tolerance * scale) << name;
}

// By name, with nothing missing and nothing left over.
void LoadState(torch::nn::Module& network, const std::string& name) {
  const std::string prefix = name + "/state/";
  TensorMap state;
  for (const auto& [key, tensor] : File()) {
    if (key.starts_with(prefix)) {
      state[key.substr(prefix.size())] = tensor;
    }
  }
  const absl::Status loaded = models::LoadWeights(network, state, /*strict=*/true);
  ASSERT_TRUE(loaded.ok()) << name << ": " << loaded;
}

torch::Tensor Two(std::int64_t side) {
  return torch::cat({Picture(side, side), Picture(side, side).flip(3)});
}

torch::Tensor EveryNth(const torch::Tensor& tensor, std::int64_t step) {
  return tensor.slice(2, 0, tensor.size(2), step).slice(3, 0, tensor.size(3), step);
}

TEST(GanGolden, AntialiasedResnetGivesCutsOutputAndFeatures) {
  const torch::NoGradGuard no_grad;
  ResnetGenerator generator({.blocks = 6, .ngf = 2, .antialias = true});
  LoadState(generator, "cut");
  generator.eval();
  ExpectGolden(generator.forward(Picture(32, 32)), "cut/output");
  const std::vector<int> layers = {0, 4, 8, 12, 16};
  const std::vector<torch::Tensor> features = generator.Features(Picture(32, 32), layers);
  ASSERT_EQ(features.size(), layers.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    ExpectGolden(features[i], "cut/feature_" + std::to_string(layers[i]));
  }
}

TEST(GanGolden, ResnetWithBatchNormGivesTheReferenceOutput) {
  const torch::NoGradGuard no_grad;
  ResnetGenerator generator({.blocks = 2, .ngf = 2, .norm = NormKind::kBatch});
  LoadState(generator, "resnet_batch");
  generator.eval();
  ExpectGolden(generator.forward(Picture(32, 32)), "resnet_batch/output");
}

TEST(GanGolden, UnetsGiveTheReferenceOutputs) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, norm] : {std::pair{"unet_batch", NormKind::kBatch},
                                   std::pair{"unet_instance", NormKind::kInstance}}) {
    UnetGenerator generator({.downs = 8, .ngf = 1, .norm = norm});
    LoadState(generator, name);
    generator.eval();
    ExpectGolden(EveryNth(generator.forward(Picture(256, 256)), 8), std::string(name) + "/output");
    generator.train();
    ExpectGolden(EveryNth(generator.forward(Two(256)), 16), std::string(name) + "/training_output");
  }
}

TEST(GanGolden, DiscriminatorsGiveTheReferenceLogits) {
  const torch::NoGradGuard no_grad;
  const auto compare = [](Discriminator& discriminator, const std::string& name,
                          const torch::Tensor& picture) {
    LoadState(discriminator, name);
    discriminator.eval();
    const std::vector<torch::Tensor> logits = discriminator.forward(picture);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      ExpectGolden(logits[i], name + "/logits_" + std::to_string(i));
    }
    EXPECT_FALSE(File().contains(name + "/logits_" + std::to_string(logits.size())));
  };
  const torch::Tensor picture = Picture(48, 56);
  PatchDiscriminator patch_batch({.ndf = 4, .norm = NormKind::kBatch});
  compare(patch_batch, "patch_batch", picture);
  PatchDiscriminator patch_antialias({.ndf = 4, .antialias = true});
  compare(patch_antialias, "patch_antialias", picture);
  PixelDiscriminator pixel_instance({.ndf = 4});
  compare(pixel_instance, "pixel_instance", picture);
  PixelDiscriminator pixel_batch({.ndf = 4, .norm = NormKind::kBatch});
  compare(pixel_batch, "pixel_batch", picture);
  MultiScaleDiscriminator multi_scale({.scales = 3, .patch = {.ndf = 4}});
  compare(multi_scale, "multi_scale", Picture(129, 144));
}

template <typename Layer>
void CompareSpectralNorm(Layer layer, const std::string& name, const torch::Tensor& x) {
  LoadState(*layer, name);
  layer->train();
  const torch::Tensor first = layer->forward(x);
  const torch::Tensor second = layer->forward(x);
  (first * second.square()).sum().backward();
  ExpectGolden(first, name + "/first");
  ExpectGolden(second, name + "/second");
  ExpectGolden(layer->named_parameters()["weight_orig"].grad(), name + "/gradient");
  ExpectGolden(layer->named_buffers()["weight_u"], name + "/u");
  ExpectGolden(layer->named_buffers()["weight_v"], name + "/v");
  layer->eval();
  for (int i = 0; i < 2; ++i) {
    ExpectGolden(layer->forward(x), name + "/evaluated");
  }
}

TEST(GanGolden, SpectralNormEqualsTorchs) {
  CompareSpectralNorm(
      SpectralConv2d(ConvolutionOptions{
          .in_channels = 3, .out_channels = 6, .kernel = 4, .stride = 2, .padding = 1}),
      "spectral_conv", Picture(12, 10));
  CompareSpectralNorm(SpectralLinear(7, 5, /*bias=*/true), "spectral_linear", Picture(4, 7));
}

TEST(GanGolden, GradientPenaltiesPassThroughEveryNorm) {
  for (const auto& [norm, kind] :
       {std::pair{"layer", NormKind::kLayer}, std::pair{"batch", NormKind::kBatch},
        std::pair{"instance", NormKind::kInstance}, std::pair{"none", NormKind::kNone}}) {
    const std::string name = "penalty_" + std::string(norm);
    torch::nn::Sequential critic(
        torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 4, 3).padding(1)), MakeNorm(kind, 4),
        torch::nn::LeakyReLU(torch::nn::LeakyReLUOptions().negative_slope(0.2)),
        torch::nn::Conv2d(torch::nn::Conv2dOptions(4, 1, 3)));
    LoadState(*critic, name);
    const torch::Tensor x =
        torch::cat({Picture(9, 8), Picture(9, 8).flip(2) * 0.5}).requires_grad_();
    const torch::Tensor gradient =
        torch::autograd::grad({critic->forward(x).square().sum()}, {x}, {}, true,
                              /*create_graph=*/true)[0];
    const torch::Tensor penalty = (gradient.flatten(1).norm(2, 1) - 1).square().mean();
    penalty.backward();
    ExpectGolden(penalty, name + "/penalty");
    for (const auto& item : critic->named_parameters()) {
      const std::string key = name + "/gradient/" + item.key();
      if (item.key() == "0.bias" && kind != NormKind::kNone && kind != NormKind::kLayer) {
        continue;  // Zero but for rounding: these norms take a channel's mean away.
      }
      ASSERT_EQ(item.value().grad().defined(), File().contains(key)) << key;
      if (item.value().grad().defined()) {
        ExpectGolden(item.value().grad(), key);
      }
    }
  }
}

}  // namespace
}  // namespace atelier::nn
