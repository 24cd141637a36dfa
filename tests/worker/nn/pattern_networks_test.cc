// Networks from noise to pictures: DCGAN against plain PyTorch (make_pattern_networks.py), and what
// all pattern generators and their discriminators promise; conditions_test.cc has what they are
// told.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/golden/reference.h"
#include "tests/worker/nn/numbers.h"
#include "worker/models/safetensors.h"
#include "worker/models/weights.h"
#include "worker/nn/classic_generator.h"
#include "worker/nn/dcgan.h"
#include "worker/nn/memory_format.h"

namespace atelier::nn {
namespace {

using models::TensorMap;

void ExpectNear(const torch::Tensor& actual, const torch::Tensor& expected,
                const std::string& name) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << name;
  const double scale = expected.abs().max().item<double>();
  EXPECT_LE((actual - expected).abs().max().item<double>(), 1e-5 * scale) << name;
}

// What make_pattern_networks.py wrote for one network.
class Golden {
 public:
  explicit Golden(std::string network) : network_(std::move(network)) {}

  void Expect(const torch::Tensor& actual, const std::string& name) const {
    static const TensorMap file =
        models::ReadSafetensors(
            std::filesystem::path(ATELIER_SOURCE_DIR) / "tests/golden/pattern_networks.safetensors",
            /*max_bytes=*/64u << 20)
            .value()
            .tensors;
    ExpectNear(actual, file.at(network_ + "/" + name), network_ + "/" + name);
  }

 private:
  std::string network_;
};

// The script's weights, and training mode.
void Prepare(torch::nn::Module& network) {
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& item : network.named_parameters()) {
    shapes[item.key()] = item.value().sizes().vec();
  }
  TensorMap weights = golden::Fill(shapes);
  for (auto& [name, weight] : weights) {
    if (weight.dim() == 1 && name.ends_with("weight")) {
      weight += 1;  // of a norm
    }
  }
  const torch::NoGradGuard no_grad;
  for (auto& item : network.named_parameters()) {
    item.value().copy_(weights.at(item.key()));
  }
  network.train();
}

torch::Tensor Thinned(const torch::Tensor& pictures) {
  return pictures.slice(2, 0, pictures.size(2), 5).slice(3, 0, pictures.size(3), 5);
}

torch::Tensor Pictures(std::int64_t side) {
  const torch::Tensor x = golden::Picture(side, side);
  return torch::cat({x, x.flip(3), -0.5 * x.flip(2)});
}

void CompareGenerator(const std::string& name, const DcganGenerator::Options& options) {
  const Golden golden(name);
  DcganGenerator generator(options);
  Prepare(generator);
  const torch::Tensor z = Numbers(7, {3, 8}).requires_grad_();
  const torch::Tensor y = generator.forward(z, {});
  y.square().sum().backward();
  golden.Expect(Thinned(y), "training");
  golden.Expect(z.grad(), "gradient_z");
  golden.Expect(generator.named_parameters()["main.0.weight"].grad(), "gradient_main.0");
  const auto buffers = generator.named_buffers();
  for (const std::string layer : {"main.1.", "main.4."}) {
    golden.Expect(buffers[layer + "running_mean"], layer + "running_mean");
    golden.Expect(buffers[layer + "running_var"], layer + "running_var");
  }
  generator.eval();
  golden.Expect(Thinned(generator.Generate(z, {})), "evaluated");
}

void CompareDiscriminator(const std::string& name, const DcganDiscriminator::Options& options,
                          const torch::Tensor& condition) {
  const Golden golden(name);
  DcganDiscriminator discriminator(options);
  Prepare(discriminator);
  const torch::Tensor x = Pictures(options.side).requires_grad_();
  const torch::Tensor logits = discriminator.JudgeConditional(x, condition).logits.at(0);
  logits.square().sum().backward();
  golden.Expect(logits, "training");
  golden.Expect(Thinned(x.grad()), "gradient_x");
  const auto parameters = discriminator.named_parameters();
  golden.Expect(parameters["main.0.weight"].grad(), "gradient_main.0");
  if (condition.defined()) {
    golden.Expect(parameters["condition.embedding.weight"].grad(), "gradient_embedding");
  }
  discriminator.eval();
  golden.Expect(discriminator.JudgeConditional(x, condition).logits.at(0), "evaluated");
}

TEST(DcganGolden, GeneratorsEqualPyTorch) {
  CompareGenerator("generator_64", {.latent_size = 8, .ngf = 2});
  CompareGenerator("generator_128", {.side = 128, .latent_size = 8, .ngf = 1});
  CompareGenerator("generator_resize", {.latent_size = 8, .ngf = 2, .resize_convolution = true});
}

TEST(DcganGolden, DiscriminatorsEqualPyTorch) {
  CompareDiscriminator("discriminator_64", {.ndf = 2}, {});
  CompareDiscriminator("discriminator_128", {.side = 128, .ndf = 1}, {});
  CompareDiscriminator("discriminator_layer", {.ndf = 2, .norm = NormKind::kLayer}, {});
  CompareDiscriminator("discriminator_projection", {.ndf = 2, .condition_entries = 4},
                       torch::tensor({2, 0, 2}, torch::kLong));
}

TEST(Dcgan, HasTheNamesAndSizesOfTheReference) {
  const DcganGenerator generator({});
  const DcganDiscriminator discriminator({});
  EXPECT_EQ(models::CountParameters(generator), 3'576'704u);
  EXPECT_EQ(models::CountParameters(discriminator), 2'765'568u);
  const TensorMap g = models::CollectWeights(generator);
  EXPECT_EQ(g.size(), 25u);
  EXPECT_EQ(g.at("main.0.weight").sizes(), torch::IntArrayRef({100, 512, 4, 4}));
  EXPECT_EQ(g.at("main.10.running_var").sizes(), torch::IntArrayRef({64}));
  EXPECT_EQ(g.at("main.10.num_batches_tracked").dim(), 0);
  EXPECT_EQ(g.at("main.12.weight").sizes(), torch::IntArrayRef({64, 3, 4, 4}));
  const TensorMap d = models::CollectWeights(discriminator);
  EXPECT_EQ(d.size(), 20u);
  EXPECT_EQ(d.at("main.8.weight").sizes(), torch::IntArrayRef({512, 256, 4, 4}));
  EXPECT_EQ(d.at("main.11.weight").sizes(), torch::IntArrayRef({1, 512, 4, 4}));
}

TEST(Classic, HasTheSizesOfTheTutorial) {
  // But for its one colour, and a batch norm with a scale for each of the 7 * 7 * 256 numbers.
  EXPECT_EQ(models::CountParameters(ClassicGenerator({})), 2'284'096u);
  EXPECT_EQ(models::CountParameters(ClassicDiscriminator({})),
            25u * (3 * 64 + 64 * 128) + 64 + 128 + 7u * 7 * 128 + 1);
}

struct Pair {
  std::shared_ptr<PatternGenerator> generator;
  std::shared_ptr<PatternDiscriminator> discriminator;
};

// Tiny networks, initialised.
Pair Initialized(Pair pair, std::uint64_t seed) {
  pair.generator->InitializeWeights(Random(seed));
  pair.discriminator->InitializeWeights(Random(seed + 1));
  pair.discriminator->SetDropoutRandom({Random(seed + 2)});
  return pair;
}

Pair MakeDcgan(int side, bool resize, int entries, NormKind norm, std::uint64_t seed) {
  return Initialized({std::make_shared<DcganGenerator>(DcganGenerator::Options{
                          .side = side,
                          .latent_size = 6,
                          .ngf = 2,
                          .resize_convolution = resize,
                          .condition = {.entries = entries, .size = 5, .hidden = 7}}),
                      std::make_shared<DcganDiscriminator>(
                          DcganDiscriminator::Options{.side = side,
                                                      .ndf = 2,
                                                      .norm = norm,
                                                      .spectral_norm = norm == NormKind::kNone,
                                                      .condition_entries = entries})},
                     seed);
}

Pair MakeClassic(int side, bool resize, int entries, std::uint64_t seed) {
  return Initialized({std::make_shared<ClassicGenerator>(
                          ClassicGenerator::Options{.side = side,
                                                    .latent_size = 6,
                                                    .base_channels = 2,
                                                    .resize_convolution = resize,
                                                    .condition = {.entries = entries, .size = 5}}),
                      std::make_shared<ClassicDiscriminator>(ClassicDiscriminator::Options{
                          .side = side, .base_channels = 2, .condition_entries = entries})},
                     seed);
}

struct Maker {
  std::string name;
  int side;
  std::function<Pair(std::uint64_t seed)> make;
};

class EveryPattern : public testing::TestWithParam<Maker> {
 protected:
  static torch::Tensor Condition(const PatternGenerator& generator, std::int64_t pictures) {
    return generator.condition_entries() == 0
               ? torch::Tensor()
               : torch::arange(pictures, torch::kLong).remainder(generator.condition_entries());
  }
};

INSTANTIATE_TEST_SUITE_P(
    Networks, EveryPattern,
    testing::Values(
        Maker{"Dcgan64", 64,
              [](auto seed) { return MakeDcgan(64, false, 0, NormKind::kBatch, seed); }},
        Maker{"Dcgan64Resize", 64,
              [](auto seed) { return MakeDcgan(64, true, 0, NormKind::kLayer, seed); }},
        Maker{"Dcgan64Labels", 64,
              [](auto seed) { return MakeDcgan(64, false, 3, NormKind::kNone, seed); }},
        Maker{"Dcgan256", 256,
              [](auto seed) { return MakeDcgan(256, false, 0, NormKind::kNone, seed); }},
        Maker{"Classic28Labels", 28, [](auto seed) { return MakeClassic(28, false, 3, seed); }},
        Maker{"Classic56Resize", 56, [](auto seed) { return MakeClassic(56, true, 0, seed); }},
        Maker{"Classic224", 224, [](auto seed) { return MakeClassic(224, false, 0, seed); }}),
    [](const auto& info) { return info.param.name; });

TEST_P(EveryPattern, HasItsShapesAndRanges) {
  const Pair pair = GetParam().make(1);
  EXPECT_EQ(pair.generator->side(), GetParam().side);
  EXPECT_EQ(pair.generator->latent_size(), 6);
  const torch::Tensor condition = Condition(*pair.generator, 3);
  const torch::Tensor y = pair.generator->forward(Numbers(0, {3, 6}), condition);
  EXPECT_EQ(y.sizes(), torch::IntArrayRef({3, 3, GetParam().side, GetParam().side}));
  EXPECT_LE(y.abs().max().item<float>(), 1.0F);
  const auto judgement = pair.discriminator->JudgeConditional(y, condition);
  ASSERT_EQ(judgement.logits.size(), 1u);
  EXPECT_EQ(judgement.logits[0].sizes(), torch::IntArrayRef({3, 1, 1, 1}));
  EXPECT_EQ(judgement.features[0].size() + 1, pair.discriminator->Layers().size());
}

TEST_P(EveryPattern, GivesEveryParameterAGradient) {
  const Pair pair = GetParam().make(2);
  const torch::Tensor condition = Condition(*pair.generator, 3);
  const torch::Tensor y = pair.generator->forward(Numbers(0, {3, 6}), condition);
  pair.discriminator->JudgeConditional(y, condition).logits.at(0).square().sum().backward();
  std::size_t in_layers = 0;
  for (const auto& layer : pair.discriminator->Layers()) {
    in_layers += layer.size();
  }
  EXPECT_EQ(in_layers, pair.discriminator->parameters().size());
  for (const torch::nn::Module* network : std::initializer_list<const torch::nn::Module*>{
           pair.generator.get(), pair.discriminator.get()}) {
    for (const auto& item : network->named_parameters()) {
      ASSERT_TRUE(item.value().grad().defined()) << item.key();
      EXPECT_GT(item.value().grad().abs().max().item<float>(), 0.0F) << item.key();
    }
  }
}

TEST_P(EveryPattern, GivesAPictureTheSameBitsAloneAndInABatch) {
  const Pair pair = GetParam().make(3);
  PatternGenerator& generator = *pair.generator;
  generator.forward(Numbers(500, {4, 6}), Condition(generator, 4));  // statistics
  generator.eval();
  UseChannelsLast(generator);
  const torch::Tensor condition = Condition(generator, 4);
  for (const auto type : {torch::kFloat, torch::kBFloat16}) {
    generator.to(type);
    const torch::Tensor z = Numbers(0, {4, 6}).to(type);
    const torch::Tensor together = generator.Generate(z, condition);
    for (std::int64_t i = 0; i < 4; ++i) {
      const torch::Tensor alone = generator.Generate(
          z.narrow(0, i, 1), condition.defined() ? condition.narrow(0, i, 1) : condition);
      EXPECT_TRUE(torch::equal(alone, together.narrow(0, i, 1))) << i;
    }
  }
}

TEST_P(EveryPattern, InitialisesEquallyFromEqualSeeds) {
  const auto parameters = [](std::uint64_t seed) {
    const Pair pair = GetParam().make(seed);
    std::vector<torch::Tensor> all = pair.generator->parameters();
    for (const torch::Tensor& parameter : pair.discriminator->parameters()) {
      all.push_back(parameter);
    }
    return all;
  };
  const auto equal = [](const torch::Tensor& a, const torch::Tensor& b) {
    return torch::equal(a, b);
  };
  const std::vector<torch::Tensor> first = parameters(7);
  EXPECT_TRUE(std::ranges::equal(first, parameters(7), equal));
  EXPECT_FALSE(std::ranges::equal(first, parameters(8), equal));
}

TEST(Conditions, ChangeThePictureAndTheJudgement) {
  const Pair pair = MakeDcgan(64, false, 3, NormKind::kNone, 1);
  pair.generator->eval();
  pair.discriminator->eval();
  const torch::Tensor z = Numbers(0, {1, 6}).expand({3, 6});
  const torch::Tensor labels = torch::arange(3, torch::kLong);
  const torch::Tensor y = pair.generator->Generate(z, labels);
  EXPECT_FALSE(torch::equal(y[0], y[1]));
  // A label is its weights' special case; only their proportion counts.
  const torch::Tensor weights = 2.0 * torch::eye(3);
  EXPECT_TRUE(torch::equal(pair.generator->Generate(z, weights), y));
  const torch::Tensor x = y.slice(0, 0, 1).expand_as(y);
  const torch::Tensor logits = pair.discriminator->JudgeConditional(x, labels).logits.at(0);
  EXPECT_NE(logits[0].item<float>(), logits[1].item<float>());
}

TEST(GradientPenalty, ReachesEveryWeightOfACriticWithLayerNorm) {
  const Pair pair = MakeDcgan(64, false, 0, NormKind::kLayer, 1);
  const torch::Tensor x = Pictures(64).requires_grad_();
  const torch::Tensor logits = pair.discriminator->Judge(x).logits.at(0);
  const torch::Tensor gradient =
      torch::autograd::grad({logits.sum()}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true)
          .at(0);
  (gradient.flatten(1).norm(2, 1) - 1).square().mean().backward();
  for (const auto& item : pair.discriminator->named_parameters()) {
    if (item.value().dim() > 1) {
      EXPECT_GT(item.value().grad().abs().max().item<float>(), 0.0F) << item.key();
    }
  }
}

TEST(ClassicDiscriminator, DrawsDropoutFromTheGeneratorGivenToIt) {
  const Pair pair = MakeClassic(28, false, 0, 1);
  const auto judge = [&](std::uint64_t seed) {
    pair.discriminator->SetDropoutRandom({Random(seed)});
    return pair.discriminator->Judge(Pictures(28)).logits.at(0);
  };
  const torch::Tensor first = judge(5);
  torch::manual_seed(123);  // must not matter
  EXPECT_TRUE(torch::equal(judge(5), first));
  EXPECT_FALSE(torch::equal(judge(6), first));
  pair.discriminator->eval();
  EXPECT_TRUE(torch::equal(judge(5), judge(6)));
}

}  // namespace
}  // namespace atelier::nn
