#include <gtest/gtest.h>
#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/golden/reference.h"
#include "worker/models/generator_table.h"
#include "worker/models/weights.h"
#include "worker/nn/efficientnet_lite.h"
#include "worker/nn/memory_format.h"
#include "worker/nn/patch_discriminator.h"

namespace atelier::nn {
namespace {

using GeneratorPtr = std::shared_ptr<Generator>;

GeneratorPtr Make(const std::string& name, std::uint64_t seed = 1) {
  GeneratorPtr generator = models::MakeGenerator(name).value();
  generator->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(seed));
  return generator;
}

// Restores LibTorch's thread count at the end of its scope.
class ThreadCount {
 public:
  explicit ThreadCount(int threads) : before_(at::get_num_threads()) {
    at::set_num_threads(threads);
  }
  ~ThreadCount() { at::set_num_threads(before_); }

 private:
  int before_;
};

TEST(ParameterCount, EqualsTheReferenceNetworks) {
  EXPECT_EQ(models::CountParameters(*Make("resnet-6")), 7'837'699u);
  EXPECT_EQ(models::CountParameters(*Make("resnet-9")), 11'378'179u);
  EXPECT_EQ(models::CountParameters(PatchDiscriminator({})), 2'764'737u);
  EXPECT_LE(models::CountParameters(*Make("lite")), 500'000u);
}

TEST(ParameterNames, EqualTheReferenceNetworks) {
  const models::TensorMap weights = models::CollectWeights(*Make("resnet-9"));
  EXPECT_EQ(weights.at("model.1.weight").sizes(), torch::IntArrayRef({64, 3, 7, 7}));
  EXPECT_EQ(weights.at("model.18.conv_block.5.weight").sizes(),
            torch::IntArrayRef({256, 256, 3, 3}));
  EXPECT_EQ(weights.at("model.19.weight").sizes(), torch::IntArrayRef({256, 128, 3, 3}));
  EXPECT_EQ(weights.at("model.26.bias").sizes(), torch::IntArrayRef({3}));
  EXPECT_EQ(weights.size(), 48u);
}

class EveryGenerator : public testing::TestWithParam<std::string> {};
// resnet-9 is resnet-6 with more of the same blocks, and has its golden output.
INSTANTIATE_TEST_SUITE_P(Table, EveryGenerator, testing::Values("lite", "resnet-6"),
                         [](const auto& info) {
                           return std::string(info.param == "lite" ? "Lite" : "Resnet6");
                         });

TEST_P(EveryGenerator, KeepsAnySize) {
  const torch::InferenceMode inference;
  const GeneratorPtr generator = Make(GetParam());
  for (const auto& [height, width] :
       std::vector<std::pair<int, int>>{{16, 16}, {17, 33}, {18, 35}, {64, 19}}) {
    const torch::Tensor y = generator->forward(golden::Picture(height, width));
    EXPECT_EQ(y.sizes(), torch::IntArrayRef({1, 3, height, width}));
    EXPECT_TRUE(torch::isfinite(y).all().item<bool>());
    EXPECT_LE(y.abs().max().item<float>(), 1.0F);
  }
}

TEST_P(EveryGenerator, GivesAPictureTheSameBitsAloneAndInABatch) {
  const torch::InferenceMode inference;
  for (const int threads : {1, 2}) {
    const ThreadCount thread_count(threads);
    for (const auto type : {torch::kFloat, torch::kBFloat16}) {
      const GeneratorPtr generator = Make(GetParam());
      generator->to(type);
      UseChannelsLast(*generator);
      const torch::Tensor a = golden::Picture(49, 66);
      const torch::Tensor batch = torch::cat({a, a.flip(3), -a, a.flip(2)})
                                      .to(type)
                                      .contiguous(torch::MemoryFormat::ChannelsLast);
      const torch::Tensor together = generator->forward(batch);
      for (std::int64_t i = 0; i < batch.size(0); ++i) {
        const torch::Tensor alone = generator->forward(batch.slice(0, i, i + 1));
        EXPECT_TRUE(torch::equal(alone, together.slice(0, i, i + 1)))
            << GetParam() << " picture " << i << ", " << threads << " threads";
      }
    }
  }
}

TEST_P(EveryGenerator, InitialisesEquallyFromEqualSeeds) {
  const models::TensorMap first = models::CollectWeights(*Make(GetParam(), 7));
  const models::TensorMap second = models::CollectWeights(*Make(GetParam(), 7));
  const models::TensorMap other = models::CollectWeights(*Make(GetParam(), 8));
  bool differs = false;
  for (const auto& [name, tensor] : first) {
    EXPECT_TRUE(torch::equal(tensor, second.at(name))) << name;
    differs = differs || !torch::equal(tensor, other.at(name));
  }
  EXPECT_TRUE(differs);
}

TEST_P(EveryGenerator, GivesEveryParameterAGradient) {
  const GeneratorPtr generator = Make(GetParam());
  generator->train();
  generator->forward(golden::Picture(20, 24)).pow(2).sum().backward();
  for (const auto& item : generator->named_parameters()) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_TRUE(torch::isfinite(item.value().grad()).all().item<bool>()) << item.key();
  }
}

TEST(PatchDiscriminator, JudgesPatches) {
  PatchDiscriminator discriminator({});
  const torch::Tensor judged = discriminator.forward(torch::zeros({2, 3, 256, 256})).front();
  EXPECT_EQ(judged.sizes(), torch::IntArrayRef({2, 1, 30, 30}));
}

TEST(EfficientNetLite, IsFrozenAndPassesGradientsToItsInput) {
  EfficientNetLite network(0);
  network.Fold();
  for (const torch::Tensor& parameter : network.parameters()) {
    EXPECT_FALSE(parameter.requires_grad());
  }
  const torch::Tensor x = golden::Picture(32, 48).requires_grad_();
  network.Features(x).back().pow(2).sum().backward();
  EXPECT_GT(x.grad().abs().max().item<float>(), 0.0F);
}

TEST(EfficientNetLite, FoldsOnce) {
  EfficientNetLite network(1);
  network.Fold();
  const torch::Tensor once = network.forward(golden::Picture(32, 32));
  network.Fold();
  EXPECT_TRUE(torch::allclose(network.forward(golden::Picture(32, 32)), once));
}

}  // namespace
}  // namespace atelier::nn
