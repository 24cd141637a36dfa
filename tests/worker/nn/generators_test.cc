// The options of the picture-to-picture generators, on tiny networks.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/golden/reference.h"
#include "tests/worker/nn/numbers.h"
#include "worker/models/weights.h"
#include "worker/nn/antialias.h"
#include "worker/nn/blocks.h"
#include "worker/nn/dropout.h"
#include "worker/nn/memory_format.h"
#include "worker/nn/resnet_generator.h"
#include "worker/nn/unet_generator.h"

namespace atelier::nn {
namespace {

using golden::Picture;

TEST(PadToMultiple, ReflectsAsOftenAsASmallPictureNeeds) {
  const torch::Tensor x = torch::arange(3.0).view({1, 1, 1, 3}).expand({1, 1, 5, 3});
  const torch::Tensor padded = PadToMultiple(x, 16);
  ASSERT_EQ(padded.sizes(), torch::IntArrayRef({1, 1, 16, 16}));
  const std::vector<float> wave = {0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1};
  for (std::int64_t row = 0; row < 16; ++row) {
    EXPECT_TRUE(torch::equal(padded[0][0][row], torch::tensor(wave)));
  }
}

TEST(PadToMultiple, RepeatsASingleLine) {
  const torch::Tensor x = torch::arange(2.0).view({1, 1, 1, 2});
  const torch::Tensor padded = PadToMultiple(x, 4);
  ASSERT_EQ(padded.sizes(), torch::IntArrayRef({1, 1, 4, 4}));
  EXPECT_TRUE(torch::equal(padded[0][0][3], torch::tensor({0.0F, 1.0F, 0.0F, 1.0F})));
}

TEST(PadToMultiple, LeavesWhatDividesAsItIs) {
  const torch::Tensor x = Picture(16, 32);
  EXPECT_TRUE(PadToMultiple(x, 16).is_same(x));
}

TEST(InitializeXavier, SpreadsWeightsByTheirFans) {
  const auto make = [](std::uint64_t seed) {
    torch::nn::Sequential module(
        torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 32, 4)),
        torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(32, 16, 3)),
        torch::nn::Linear(300, 256));
    InitializeXavier(*module, Random(seed));
    return module->named_parameters();
  };
  const auto made = make(5);
  const auto deviation = [&](const char* name) { return made[name].std().item<double>(); };
  EXPECT_NEAR(deviation("0.weight"), 0.02 * std::sqrt(2.0 / (48 * 16)), 4e-5);
  EXPECT_NEAR(deviation("1.weight"), 0.02 * std::sqrt(2.0 / (48 * 9)), 6e-5);
  EXPECT_NEAR(deviation("2.weight"), 0.02 * std::sqrt(2.0 / 556), 1e-5);
  EXPECT_EQ(made["2.bias"].abs().max().item<double>(), 0.0);
  EXPECT_TRUE(torch::equal(made["2.weight"], make(5)["2.weight"]));
  EXPECT_FALSE(torch::equal(made["2.weight"], make(6)["2.weight"]));
}

struct GeneratorCase {
  std::string name;
  std::function<std::shared_ptr<Generator>()> make;
};

class EveryOption : public testing::TestWithParam<GeneratorCase> {
 protected:
  static std::shared_ptr<Generator> Make(std::uint64_t seed = 1) {
    std::shared_ptr<Generator> generator = GetParam().make();
    generator->InitializeWeights(Random(seed));
    return generator;
  }
};

template <typename Network>
GeneratorCase MakeGeneratorCase(const std::string& name, const typename Network::Options& options) {
  return {name, [options] { return std::make_shared<Network>(options); }};
}

INSTANTIATE_TEST_SUITE_P(
    Networks, EveryOption,
    testing::Values(
        MakeGeneratorCase<ResnetGenerator>("ResnetBatch",
                                           {.blocks = 1, .ngf = 4, .norm = NormKind::kBatch}),
        MakeGeneratorCase<ResnetGenerator>("ResnetLayer",
                                           {.blocks = 1, .ngf = 4, .norm = NormKind::kLayer}),
        MakeGeneratorCase<ResnetGenerator>("ResnetNone",
                                           {.blocks = 1, .ngf = 4, .norm = NormKind::kNone}),
        MakeGeneratorCase<ResnetGenerator>("ResnetAntialias",
                                           {.blocks = 2, .ngf = 4, .antialias = true}),
        MakeGeneratorCase<ResnetGenerator>("ResnetResize",
                                           {.blocks = 1, .ngf = 4, .resize_convolution = true}),
        MakeGeneratorCase<UnetGenerator>("Unet128Batch", {.downs = 7, .ngf = 2, .dropout = true}),
        MakeGeneratorCase<UnetGenerator>("Unet256Instance",
                                         {.downs = 8, .ngf = 2, .norm = NormKind::kInstance}),
        MakeGeneratorCase<UnetGenerator>("Unet32None",
                                         {.downs = 5, .ngf = 2, .norm = NormKind::kNone})),
    [](const auto& info) { return info.param.name; });

TEST_P(EveryOption, KeepsAnySize) {
  const torch::InferenceMode inference;
  const std::shared_ptr<Generator> generator = Make();
  generator->eval();
  for (const auto& [height, width] :
       std::vector<std::pair<int, int>>{{16, 16}, {17, 33}, {131, 16}, {64, 300}}) {
    const torch::Tensor y = generator->forward(Picture(height, width));
    EXPECT_EQ(y.sizes(), torch::IntArrayRef({1, 3, height, width}));
    EXPECT_TRUE(torch::isfinite(y).all().item<bool>());
    EXPECT_LE(y.abs().max().item<float>(), 1.0F);
  }
}

TEST_P(EveryOption, RunsInBfloat16AndChannelsLast) {
  const torch::InferenceMode inference;
  const std::shared_ptr<Generator> generator = Make();
  generator->eval();
  const torch::Tensor expected = generator->forward(Picture(48, 40));
  generator->to(torch::kBFloat16);
  UseChannelsLast(*generator);
  const torch::Tensor y = generator->forward(Picture(48, 40).to(torch::kBFloat16));
  EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
  EXPECT_LE((y.to(torch::kFloat) - expected).abs().mean().item<double>(), 0.03);
}

// In bfloat16, because oneDNN chooses its fp32 convolutions of layers this narrow by the batch.
TEST_P(EveryOption, GivesAPictureTheSameBitsAloneAndInABatch) {
  const torch::InferenceMode inference;
  const std::shared_ptr<Generator> generator = Make();
  generator->eval();
  generator->to(torch::kBFloat16);
  UseChannelsLast(*generator);
  const torch::Tensor a = Picture(49, 66);
  const torch::Tensor batch = torch::cat({a, a.flip(3), -a})
                                  .to(torch::kBFloat16)
                                  .contiguous(torch::MemoryFormat::ChannelsLast);
  const torch::Tensor together = generator->forward(batch);
  for (std::int64_t i = 0; i < batch.size(0); ++i) {
    const torch::Tensor alone = generator->forward(batch.slice(0, i, i + 1));
    EXPECT_TRUE(torch::equal(alone, together.slice(0, i, i + 1))) << "picture " << i;
  }
}

TEST_P(EveryOption, InitialisesEquallyFromEqualSeeds) {
  const models::TensorMap first = models::CollectWeights(*Make(7));
  const models::TensorMap second = models::CollectWeights(*Make(7));
  const models::TensorMap other = models::CollectWeights(*Make(8));
  bool differs = false;
  for (const auto& [name, tensor] : first) {
    EXPECT_TRUE(torch::equal(tensor, second.at(name))) << name;
    differs = differs || !torch::equal(tensor, other.at(name));
  }
  EXPECT_TRUE(differs);
}

TEST_P(EveryOption, GivesEveryParameterAGradient) {
  const std::shared_ptr<Generator> generator = Make();
  generator->train();
  generator->SetDropoutRandom({Random(3)});
  const torch::Tensor batch = torch::cat({Picture(40, 36), Picture(40, 36).flip(3)});
  generator->forward(batch).pow(2).sum().backward();
  for (const auto& item : generator->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_TRUE(torch::isfinite(item.value().grad()).all().item<bool>()) << item.key();
  }
}

TEST(UnetGenerator, HasTheReferencesParameters) {
  const UnetGenerator generator({});
  EXPECT_EQ(models::CountParameters(generator), 54'413'955u);
  std::int64_t elements = 0;
  for (const auto& [name, tensor] : models::CollectWeights(generator)) {
    elements += tensor.numel();
  }
  EXPECT_EQ(elements, 54'423'824);  // with buffers, as the key table
}

TEST(UnetGenerator, DrawsDropoutFromItsGeneratorOnly) {
  UnetGenerator generator({.downs = 6, .ngf = 2, .norm = NormKind::kInstance, .dropout = true});
  generator.InitializeWeights(Random(1));
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = Picture(64, 64);
  const auto run = [&](std::uint64_t seed) {
    generator.SetDropoutRandom({Random(seed)});
    return generator.forward(x);
  };
  generator.train();
  const torch::Tensor first = run(5);
  EXPECT_TRUE(torch::equal(run(5), first));
  EXPECT_FALSE(torch::equal(generator.forward(x), first)) << "the generator goes on";
  EXPECT_FALSE(torch::equal(run(6), first));
  generator.eval();
  EXPECT_TRUE(torch::equal(run(5), run(6)));
}

TEST(KeyedDropout, KeepsTheMeanAndScalesWhatIsLeft) {
  KeyedDropout dropout(0.5);
  dropout->SetRandom({Random(1)});
  const torch::Tensor y = dropout(torch::ones({1, 8, 64, 64}));
  EXPECT_TRUE(((y == 0) | (y == 2)).all().item<bool>());
  EXPECT_NEAR(y.mean().item<double>(), 1.0, 0.05);
}

TEST(KeyedDropout, APicturesMaskDoesNotDependOnItsBatch) {
  KeyedDropout dropout(0.5);
  const torch::Tensor ones = torch::ones({4, 2, 8, 8});
  const auto twice = [&](const std::vector<std::uint64_t>& seeds, const torch::Tensor& x) {
    std::vector<at::Generator> randoms;
    for (const std::uint64_t seed : seeds) {
      randoms.push_back(Random(seed));
    }
    dropout->SetRandom(std::move(randoms));
    return torch::stack({dropout(x), dropout(x)});
  };
  const torch::Tensor whole = twice({1, 2, 3, 4}, ones);
  EXPECT_TRUE(torch::equal(whole.narrow(1, 0, 2), twice({1, 2}, ones.narrow(0, 0, 2))));
  EXPECT_TRUE(torch::equal(whole.narrow(1, 2, 2), twice({3, 4}, ones.narrow(0, 0, 2))));
  EXPECT_FALSE(torch::equal(whole[0][0], whole[0][1])) << "every picture has its own";
  EXPECT_FALSE(torch::equal(whole[0], whole[1])) << "the generators go on";
  // A batch that holds its samples twice.
  const torch::Tensor again = twice({1, 2}, ones);
  EXPECT_TRUE(torch::equal(again[0].narrow(0, 0, 2), whole[0].narrow(0, 0, 2)));
  EXPECT_TRUE(torch::equal(again[0].narrow(0, 2, 2), whole[1].narrow(0, 0, 2)));
}

TEST(ResnetGenerator, FeaturesAreTheLayersOutputs) {
  const torch::NoGradGuard no_grad;
  ResnetGenerator generator({.blocks = 2, .ngf = 4});
  generator.InitializeWeights(Random(1));
  const torch::Tensor x = Picture(18, 20);
  // 2 is a norm whose output the ReLU behind it overwrites, 20 the last layer, the tanh.
  const std::vector<torch::Tensor> features = generator.Features(x, {0, 2, 3, 20});
  EXPECT_EQ(features[0].sizes(), torch::IntArrayRef({1, 3, 26, 26}));
  EXPECT_LT(features[1].min().item<float>(), 0.0F);
  EXPECT_TRUE(torch::equal(features[1].relu(), features[2]));
  EXPECT_TRUE(torch::equal(features[3].slice(2, 0, 18).slice(3, 0, 20), generator.forward(x)));
}

TEST(ResnetGenerator, GivesPicturesAtThreeLevels) {
  ResnetGenerator generator({.blocks = 1, .ngf = 4, .multi_level = true});
  generator.InitializeWeights(Random(1));
  const torch::Tensor x = Picture(22, 33);
  const std::vector<torch::Tensor> levels = generator.ForwardLevels(x);
  ASSERT_EQ(levels.size(), 3u);
  EXPECT_TRUE(torch::equal(levels[0], generator.forward(x)));
  EXPECT_EQ(levels[1].sizes(), torch::IntArrayRef({1, 3, 11, 17}));
  EXPECT_EQ(levels[2].sizes(), torch::IntArrayRef({1, 3, 6, 9}));
  levels[2].sum().backward();
  EXPECT_TRUE(generator.named_parameters()["rgb_quarter.weight"].grad().defined());
  EXPECT_FALSE(generator.named_parameters()["rgb_half.weight"].grad().defined());
}

TEST(Antialias, GivesAPictureTheSameBitsAloneAndInABatch) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor a = Picture(31, 42).repeat({1, 8, 1, 1});
  const torch::Tensor batch = torch::cat({a, a.flip(3), -a});
  Downsample down(24);
  Upsample up(24);
  const torch::Tensor smaller = down(batch);
  const torch::Tensor larger = up(batch);
  for (std::int64_t i = 0; i < batch.size(0); ++i) {
    EXPECT_TRUE(torch::equal(down(batch.slice(0, i, i + 1)), smaller.slice(0, i, i + 1)));
    EXPECT_TRUE(torch::equal(up(batch.slice(0, i, i + 1)), larger.slice(0, i, i + 1)));
  }
}

TEST(Antialias, DownsampleHalvesAndUpsampleDoubles) {
  Downsample down(3);
  Upsample up(3);
  const torch::Tensor flat = torch::full({1, 3, 7, 8}, 0.25);
  EXPECT_EQ(down(flat).sizes(), torch::IntArrayRef({1, 3, 4, 4}));
  EXPECT_TRUE(torch::allclose(down(flat), torch::full({1, 3, 4, 4}, 0.25)));
  EXPECT_TRUE(torch::allclose(up(flat), torch::full({1, 3, 14, 16}, 0.25)));
}

}  // namespace
}  // namespace atelier::nn
