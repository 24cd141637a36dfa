// Models whose style comes with the request: several styles, or a picture.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>
#include <memory>
#include <string>

#include "common/errors.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/model_folder.h"
#include "worker/infer/stylizer.h"
#include "worker/nn/multistyle_generator.h"
#include "worker/nn/reference_generator.h"

namespace atelier::infer {
namespace {

template <typename Network>
class StyledFolder {
 public:
  StyledFolder(const std::string& generator, const typename Network::Options& options) {
    Network network(options);
    network.InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(3));
    {
      // Fresh heads are near zero and fresh styles alike.
      const torch::NoGradGuard no_grad;
      at::Generator random = at::make_generator<at::CPUGeneratorImpl>(4);
      for (auto& item : network.named_parameters()) {
        if (item.key() == "styles" || item.key().starts_with("head") ||
            item.key().starts_with("modulation")) {
          item.value().add_(0.3 * torch::randn(item.value().sizes(), random));
        }
      }
    }
    spec_.family = generator;
    spec_.tier = "lite";
    spec_.architecture.generator = generator;
    test::WriteModelFolder(directory_.path(), network, spec_);
  }

  absl::StatusOr<std::unique_ptr<Stylizer>> Load() {
    EXPECT_TRUE(WriteModelSpec(directory_.path(), spec_).ok());
    return Stylizer::Load({.directory = directory_.path()});
  }
  ModelSpec& spec() { return spec_; }

 private:
  test::TempDir directory_;
  ModelSpec spec_;
};

torch::Tensor Noise(torch::IntArrayRef size, std::uint64_t seed) {
  return torch::randint(0, 256, size, at::make_generator<at::CPUGeneratorImpl>(seed), torch::kByte);
}

StyledFolder<nn::MultistyleGenerator> ThreeStyles() { return {"multistyle", {.styles = 3}}; }

TEST(StyledModels, AMixtureIsEqualBitsAloneAndInABatch) {
  auto folder = ThreeStyles();
  folder.spec().classes = {"a", "b", "c"};
  const auto stylizer = folder.Load();
  ASSERT_TRUE(stylizer.ok()) << stylizer.status();
  const torch::Tensor batch = Noise({3, 33, 47, 3}, 1);
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const StylizeControls controls = {.precision = precision, .mix = {0.2F, 0.5F, 0.3F}};
    const torch::Tensor together = (*stylizer)->Stylize(batch, controls).value();
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(torch::equal((*stylizer)->Stylize(batch.narrow(0, i, 1), controls).value(),
                               together.narrow(0, i, 1)));
    }
    EXPECT_FALSE(torch::equal((*stylizer)->Stylize(batch, precision).value(), together));
  }
  const torch::Tensor first = (*stylizer)->Stylize(batch, Precision::kFp32).value();
  EXPECT_TRUE(torch::equal((*stylizer)->Stylize(batch, {.mix = {1, 0, 0}}).value(), first));
  EXPECT_EQ(FieldOf((*stylizer)->Stylize(batch, {.mix = {1, 0}}).status()), "mix");
  EXPECT_EQ(FieldOf((*stylizer)->Stylize(batch, {.style_image = batch[0]}).status()),
            "style_image");
}

TEST(StyledModels, ClassesThatDoNotFitTheWeightsAreDataLoss) {
  auto folder = ThreeStyles();
  folder.spec().classes = {};
  EXPECT_TRUE(absl::IsDataLoss(folder.Load().status())) << folder.Load().status();
  folder.spec().classes = {"a", "b"};
  EXPECT_TRUE(absl::IsDataLoss(folder.Load().status())) << folder.Load().status();
  folder.spec().classes.assign(1000, "a");
  EXPECT_TRUE(absl::IsDataLoss(folder.Load().status())) << folder.Load().status();
}

TEST(StyledModels, TheStylePictureDecides) {
  StyledFolder<nn::ReferenceGenerator> folder("reference", {});
  folder.spec().architecture.image_size = 64;
  const auto stylizer = folder.Load();
  ASSERT_TRUE(stylizer.ok()) << stylizer.status();
  const torch::Tensor batch = Noise({2, 40, 36, 3}, 1);
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const StylizeControls bright = {.precision = precision,
                                    .style_image = torch::full({200, 90, 3}, 240, torch::kByte)};
    const StylizeControls noise = {.precision = precision, .style_image = Noise({16, 16, 3}, 2)};
    const torch::Tensor together = (*stylizer)->Stylize(batch, bright).value();
    EXPECT_TRUE(torch::equal((*stylizer)->Stylize(batch.narrow(0, 1, 1), bright).value(),
                             together.narrow(0, 1, 1)));
    EXPECT_FALSE(torch::equal((*stylizer)->Stylize(batch, noise).value(), together));
  }
  EXPECT_EQ(FieldOf((*stylizer)->Stylize(batch, Precision::kFp32).status()), "style_image");
  for (const torch::Tensor& bad :
       {torch::zeros({15, 20, 3}, torch::kByte), torch::zeros({20, 20, 3}), batch}) {
    EXPECT_EQ(FieldOf((*stylizer)->Stylize(batch, {.style_image = bad}).status()), "style_image");
  }
}

}  // namespace
}  // namespace atelier::infer
