// Generators that are told the style (one network for many styles, a style from a picture), and
// networks that make codes of pictures.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/golden/reference.h"
#include "tests/worker/nn/numbers.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/nn/lite_generator.h"
#include "worker/nn/memory_format.h"
#include "worker/nn/modulated_norm.h"
#include "worker/nn/multistyle_generator.h"
#include "worker/nn/reference_generator.h"
#include "worker/nn/shared_latent_generator.h"
#include "worker/nn/vae.h"

namespace atelier::nn {
namespace {

using golden::Picture;
using models::TensorMap;

constexpr LiteNetwork::Options kTiny{.stem_channels = 4,
                                     .channels = 8,
                                     .blocks = 2,
                                     .block_kernel = 3,
                                     .expansion = 12,
                                     .up_channels = 4,
                                     .head_channels = 4};
constexpr StyleEncoderImpl::Options kTinyStyle{.base_channels = 4, .hidden = 8, .code_size = 6};
constexpr int kStyles = 3;

torch::Tensor Four(std::int64_t height, std::int64_t width) {
  const torch::Tensor a = Picture(height, width);
  return torch::cat({a, a.flip(3), -a, a.flip(2)}).contiguous(torch::MemoryFormat::ChannelsLast);
}

// With styles that differ.
std::shared_ptr<MultistyleGenerator> MakeMultistyle() {
  auto generator = std::make_shared<MultistyleGenerator>(
      MultistyleGenerator::Options{.styles = kStyles, .network = kTiny});
  generator->InitializeWeights(Random(1));
  const torch::NoGradGuard no_grad;
  torch::Tensor styles = generator->named_parameters()["styles"];
  styles.add_(0.5 * Numbers(0, styles.sizes().vec()));
  return generator;
}

std::shared_ptr<ReferenceGenerator> MakeReference() {
  auto generator = std::make_shared<ReferenceGenerator>(
      ReferenceGenerator::Options{.style = kTinyStyle, .network = kTiny});
  generator->InitializeWeights(Random(1));
  return generator;
}

std::shared_ptr<SharedLatentGenerator> MakeSharedLatent() {
  auto generator = std::make_shared<SharedLatentGenerator>(
      SharedLatentGenerator::Options{.base_channels = 4, .blocks = 2, .shared_blocks = 1});
  generator->InitializeWeights(Random(1));
  return generator;
}

TEST(ModulatedInstanceNorm, EqualsConditionalInstanceNormInPyTorch) {
  const TensorMap expected =
      models::ReadSafetensors(
          std::filesystem::path(ATELIER_SOURCE_DIR) / "tests/golden/pattern_networks.safetensors",
          /*max_bytes=*/64u << 20)
          .value()
          .tensors;
  const torch::Tensor x = Numbers(100, {3, 4, 9, 7}).requires_grad_();
  const torch::Tensor gamma = (1 + 0.5 * Numbers(2000, {5, 4})).requires_grad_();
  const torch::Tensor beta = (0.5 * Numbers(3000, {5, 4})).requires_grad_();
  const torch::Tensor& weights = expected.at("conditional/weights");
  const torch::Tensor y =
      ModulatedInstanceNorm(x, torch::mm(weights, gamma), torch::mm(weights, beta));
  (y * Numbers(4000, y.sizes().vec())).square().sum().backward();
  const auto expect_near = [&](const torch::Tensor& actual, const std::string& name) {
    const torch::Tensor& wanted = expected.at("conditional/" + name);
    EXPECT_LE((actual - wanted).abs().max().item<double>(),
              1e-5 * wanted.abs().max().item<double>())
        << name;
  };
  expect_near(y, "output");
  expect_near(x.grad(), "gradient_x");
  expect_near(gamma.grad(), "gradient_gamma");
  expect_near(beta.grad(), "gradient_beta");
}

TEST(ModulatedInstanceNorm, GivesAPictureTheSameBitsAloneAndInABatch) {
  const torch::Tensor x = Numbers(0, {3, 8, 19, 21});
  const torch::Tensor scale = Numbers(9000, {3, 8});
  const torch::Tensor shift = Numbers(9500, {3, 8});
  const torch::Tensor together = ModulatedInstanceNorm(x, scale, shift);
  for (std::int64_t i = 0; i < 3; ++i) {
    const torch::Tensor alone =
        ModulatedInstanceNorm(x.narrow(0, i, 1), scale.narrow(0, i, 1), shift.narrow(0, i, 1));
    EXPECT_TRUE(torch::equal(alone, together.narrow(0, i, 1))) << i;
  }
}

double Correlation(const torch::Tensor& a, const torch::Tensor& b) {
  const torch::Tensor x = a - a.mean();
  const torch::Tensor y = b - b.mean();
  return ((x * y).sum() / (x.norm() * y.norm())).item<double>();
}

// What is drawn on a flat ground must not be a wallpaper of the noise's tile.
TEST(LiteGenerator, DoesNotRepeatItselfOnPlainGround) {
  LiteGenerator lite(LiteNetwork::Options{});
  lite.InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(3));
  lite.eval();
  const torch::NoGradGuard no_grad;
  const torch::Tensor drawn = lite.forward(torch::full({1, 3, 640, 640}, 0.2)).mean(1)[0];
  const auto part = [&drawn](std::int64_t top, std::int64_t left) {
    return drawn.slice(0, 32 + top, 32 + top + 256).slice(1, 32 + left, 32 + left + 256);
  };
  EXPECT_GT(part(0, 0).std().item<double>(), 0);
  EXPECT_LT(std::abs(Correlation(part(0, 0), part(0, 256))), 0.3);
  EXPECT_LT(std::abs(Correlation(part(0, 0), part(256, 0))), 0.3);
  EXPECT_LT(std::abs(Correlation(part(0, 0), part(256, 256))), 0.3);
  EXPECT_LT(std::abs(Correlation(part(0, 256), part(256, 0))), 0.3);
}

// A style of the table is a lite generator whose norms have the scales and shifts of its row.
TEST(Multistyle, IsALiteGeneratorInEveryStyle) {
  const torch::InferenceMode inference;
  const auto multistyle = MakeMultistyle();
  const TensorMap weights = models::CollectWeights(*multistyle);
  LiteGenerator lite(kTiny);
  for (std::int64_t style = 0; style < kStyles; ++style) {
    std::int64_t next = 0;
    const torch::Tensor row = weights.at("styles")[style];
    for (const auto& item : lite.named_parameters()) {
      torch::Tensor parameter = item.value();
      if (const auto shared = weights.find(item.key()); shared != weights.end()) {
        parameter.copy_(shared->second);
      } else {  // of a norm: scales, then shifts
        parameter.copy_(row.narrow(0, next, parameter.numel()));
        next += parameter.numel();
      }
    }
    EXPECT_EQ(next, multistyle->code_size());
    lite.named_buffers()["noise_tile"].copy_(weights.at("noise_tile"));
    const torch::Tensor x = Picture(33, 30);
    const torch::Tensor y = multistyle->forward(x, torch::full({1}, style, torch::kLong));
    EXPECT_TRUE(torch::equal(lite.forward(x), y)) << style;
    EXPECT_EQ(torch::equal(multistyle->forward(x), y), style == 0);
  }
}

TEST(Multistyle, MixesStylesByWeights) {
  const torch::NoGradGuard no_grad;
  const auto generator = MakeMultistyle();
  const torch::Tensor x = Four(24, 20);
  const torch::Tensor labels = torch::tensor({0, 2, 1, 2}, torch::kLong);
  const torch::Tensor by_label = generator->forward(x, labels);
  // One-hot weights of any sum are the label.
  const torch::Tensor one_hot = torch::one_hot(labels, kStyles).to(torch::kFloat);
  EXPECT_TRUE(torch::equal(generator->forward(x, 4 * one_hot), by_label));
  for (std::int64_t i = 0; i < 4; ++i) {
    const torch::Tensor alone = generator->forward(x.narrow(0, i, 1), labels.narrow(0, i, 1));
    // Small pictures: oneDNN sums a batch in another order (see Generator::forward).
    EXPECT_TRUE(torch::allclose(alone, by_label.narrow(0, i, 1), 1e-4, 1e-5)) << i;
  }
  // One row is for all pictures, and a code is as good as the weights that it was made from.
  const torch::Tensor mixture = torch::tensor({{0.5F, 0.0F, 1.5F}});
  const torch::Tensor code = generator->Code(mixture);
  EXPECT_EQ(code.sizes(), torch::IntArrayRef({1, generator->code_size()}));
  const torch::Tensor mixed = generator->forward(x, mixture);
  EXPECT_TRUE(torch::equal(generator->ForwardCode(x, code.expand({4, -1})), mixed));
  EXPECT_TRUE(torch::allclose(
      code[0], 0.25 * generator->Code(labels)[0] + 0.75 * generator->Code(labels)[1]));
}

TEST(Multistyle, TeachesOnlyTheStylesThatAreAskedFor) {
  const auto generator = MakeMultistyle();
  generator->forward(Four(24, 20), torch::tensor({0, 2, 0, 2}, torch::kLong))
      .square()
      .sum()
      .backward();
  for (const auto& item : generator->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
  }
  const torch::Tensor gradient = generator->named_parameters()["styles"].grad();
  EXPECT_GT(gradient[0].abs().max().item<float>(), 0.0F);
  EXPECT_EQ(gradient[1].abs().max().item<float>(), 0.0F);
  EXPECT_GT(gradient[2].abs().max().item<float>(), 0.0F);
}

TEST(Multistyle, HasTheSizeItDeclares) {
  const MultistyleGenerator generator({.styles = 5});
  EXPECT_EQ(generator.code_size(), 1456);
  EXPECT_EQ(models::CountParameters(generator), 200'091u + 5 * 1456);
}

TEST(Reference, TakesTheStyleOfPicturesOfAnySize) {
  const torch::NoGradGuard no_grad;
  const auto generator = MakeReference();
  const torch::Tensor style = generator->Style(Picture(16, 37));
  EXPECT_EQ(style.sizes(), torch::IntArrayRef({1, 6}));
  const torch::Tensor x = Four(24, 20);
  const torch::Tensor other = generator->Style(Picture(50, 41).flip(3) * 0.3);
  EXPECT_FALSE(torch::equal(style, other));
  const torch::Tensor y = generator->forward(x, style);
  EXPECT_EQ(y.sizes(), x.sizes());
  EXPECT_FALSE(torch::equal(generator->forward(x, other), y));
  const torch::Tensor own = generator->forward(x.narrow(0, 0, 1));
  EXPECT_TRUE(torch::equal(
      own, generator->forward(x.narrow(0, 0, 1), generator->Style(x.narrow(0, 0, 1)))));
}

TEST(Reference, FitsCpus) {
  const ReferenceGenerator generator({});
  EXPECT_EQ(generator.code_size(), 128);
  EXPECT_EQ(models::CountParameters(generator), 478'427u);
}

TEST(SharedLatent, DecodesTheCodesOfEitherDomainIntoBoth) {
  using Domain = SharedLatentGenerator::Domain;
  const torch::NoGradGuard no_grad;
  const auto generator = MakeSharedLatent();
  const torch::Tensor x = Picture(32, 24);
  const torch::Tensor codes = generator->Encode(Domain::kSource, x);
  EXPECT_EQ(codes.sizes(), torch::IntArrayRef({1, 16, 8, 6}));
  const torch::Tensor source = generator->Decode(Domain::kSource, codes);
  const torch::Tensor target = generator->Decode(Domain::kTarget, codes);
  EXPECT_EQ(source.sizes(), x.sizes());
  EXPECT_FALSE(torch::equal(source, target));
  EXPECT_TRUE(torch::equal(generator->forward(x), target));
  EXPECT_FALSE(torch::equal(generator->Encode(Domain::kTarget, x), codes));
}

TEST(SharedLatent, TeachesTheSharedBlocksFromBothDomains) {
  using Domain = SharedLatentGenerator::Domain;
  const auto generator = MakeSharedLatent();
  generator->Decode(Domain::kSource, generator->Encode(Domain::kSource, Picture(16, 16)))
      .square()
      .sum()
      .backward();
  for (const auto& item : generator->named_parameters()) {
    EXPECT_EQ(item.value().grad().defined(), item.key().find("target") == std::string::npos)
        << item.key();
  }
}

TEST(PatternEncoder, MakesADistributionOfEverySide) {
  for (const int side : {28, 56, 64, 256}) {
    PatternEncoder encoder({.side = side, .latent_size = 5, .base_channels = 2});
    encoder.InitializeWeights(Random(1));
    const torch::Tensor x = torch::cat({Picture(side, side), -Picture(side, side)});
    const LatentDistribution latent = encoder.Encode(x);
    EXPECT_EQ(latent.mean.sizes(), torch::IntArrayRef({2, 5}));
    EXPECT_EQ(latent.log_variance.sizes(), torch::IntArrayRef({2, 5}));
    Reparameterize(latent, Numbers(0, {2, 5})).square().sum().backward();
    for (const auto& item : encoder.named_parameters()) {
      EXPECT_TRUE(item.value().grad().defined()) << side << " " << item.key();
    }
  }
}

TEST(Reparameterize, ScalesNoiseByTheDeviation) {
  const LatentDistribution latent{.mean = torch::full({1, 2}, 3.0),
                                  .log_variance = torch::full({1, 2}, std::log(4.0))};
  const torch::Tensor sample = Reparameterize(latent, torch::tensor({{1.0F, -0.5F}}));
  EXPECT_TRUE(torch::allclose(sample, torch::tensor({{5.0F, 2.0F}})));
}

struct Named {
  std::string name;
  std::shared_ptr<Generator> (*make)();
};

class EveryStyledGenerator : public testing::TestWithParam<Named> {};
INSTANTIATE_TEST_SUITE_P(
    Networks, EveryStyledGenerator,
    testing::Values(
        Named{"Multistyle", []() -> std::shared_ptr<Generator> { return MakeMultistyle(); }},
        Named{"Reference", []() -> std::shared_ptr<Generator> { return MakeReference(); }},
        Named{"SharedLatent", []() -> std::shared_ptr<Generator> { return MakeSharedLatent(); }}),
    [](const auto& info) { return info.param.name; });

TEST_P(EveryStyledGenerator, KeepsAnySizeAndRange) {
  const torch::InferenceMode inference;
  const auto generator = GetParam().make();
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    generator->to(type);
    UseChannelsLast(*generator);
    for (const auto& [height, width] :
         std::vector<std::pair<int, int>>{{16, 16}, {17, 33}, {18, 35}}) {
      const torch::Tensor y = generator->forward(Picture(height, width).to(type));
      EXPECT_EQ(y.sizes(), torch::IntArrayRef({1, 3, height, width}));
      EXPECT_EQ(y.scalar_type(), type);
      EXPECT_LE(y.abs().max().item<float>(), 1.0F);
    }
  }
}

TEST_P(EveryStyledGenerator, InitialisesEquallyFromEqualSeeds) {
  const auto generator = GetParam().make();
  generator->InitializeWeights(Random(7));
  TensorMap first;
  for (const auto& [name, tensor] : models::CollectWeights(*generator)) {
    first[name] = tensor.clone();
  }
  generator->InitializeWeights(Random(8));
  bool differs = false;
  for (const auto& [name, tensor] : models::CollectWeights(*generator)) {
    differs = differs || !torch::equal(tensor, first.at(name));
  }
  EXPECT_TRUE(differs);
  generator->InitializeWeights(Random(7));
  for (const auto& [name, tensor] : models::CollectWeights(*generator)) {
    EXPECT_TRUE(torch::equal(tensor, first.at(name))) << name;
  }
}

}  // namespace
}  // namespace atelier::nn
