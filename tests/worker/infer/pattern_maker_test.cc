#include "worker/infer/pattern_maker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <memory>
#include <string>

#include "common/errors.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/model_folder.h"
#include "worker/infer/latent.h"
#include "worker/infer/stylizer.h"
#include "worker/models/pattern_table.h"

namespace atelier::infer {
namespace {

// A model folder with weights from a fixed seed.
class PatternFolder {
 public:
  explicit PatternFolder(const std::string& generator = "dcgan", int side = 64) {
    spec_.family = "cgan";
    spec_.architecture = {
        .generator = generator, .base_channels = 4, .latent_size = 24, .image_size = side};
  }

  ModelSpec& spec() { return spec_; }

  absl::StatusOr<std::unique_ptr<PatternMaker>> Load() {
    const auto network =
        models::MakePatternGenerator(spec_.architecture, models::ConditionOf(spec_)).value();
    network->InitializeWeights(at::make_generator<at::CPUGeneratorImpl>(3));
    // Louder than fresh weights, whose pictures are all nearly grey.
    for (torch::Tensor& parameter : network->parameters()) {
      parameter.data() *= 8;
    }
    test::WriteModelFolder(path(), *network, spec_);
    return PatternMaker::Load({.directory = directory_.path()});
  }
  const std::filesystem::path& path() const { return directory_.path(); }

 private:
  test::TempDir directory_;
  ModelSpec spec_;
};

at::Tensor Make(PatternMaker& maker, const PatternOrder& order,
                Precision precision = Precision::kFp32) {
  const auto made = maker.Make(order, precision);
  EXPECT_TRUE(made.ok()) << made.status();
  return made.ok() ? *made : at::Tensor();
}

TEST(Latents, NoiseIsNormalAndAFunctionOfTheSeed) {
  const at::Tensor noise = Noise(1, 20000, 1);
  EXPECT_NEAR(noise.mean().item<double>(), 0, 0.02);
  EXPECT_NEAR(noise.std().item<double>(), 1, 0.02);
  EXPECT_NEAR((noise.abs() < 1).to(torch::kDouble).mean().item<double>(), 0.6827, 0.01);
  EXPECT_TRUE(torch::equal(Noise(1, 100, 1), noise.narrow(0, 0, 100))) << "whatever the size";
  EXPECT_FALSE(torch::equal(Noise(2, 100, 1), Noise(1, 100, 1)));
  const double apart =
      torch::corrcoef(torch::stack({Noise(1, 20000, 1), Noise(2, 20000, 1)}))[0][1].item<double>();
  EXPECT_NEAR(apart, 0, 0.03) << "neighbouring seeds are independent";
}

TEST(Latents, TruncationCutsTheDistributionOffAndKeepsTheOrder) {
  const at::Tensor whole = Noise(1, 5000, 1);
  // P(|x| <= 1) and P(|x| <= 2) of the normal distribution.
  for (const auto& [share, threshold] : {std::pair{0.682689492, 1.0}, {0.954499736, 2.0}}) {
    const at::Tensor cut = Noise(1, 5000, share);
    EXPECT_LE(cut.abs().max().item<double>(), threshold);
    EXPECT_GT(cut.abs().max().item<double>(), threshold - 0.02);
    EXPECT_TRUE(torch::equal(cut.argsort(), whole.argsort())) << "the same seed moves smoothly";
    // The variance of a normal distribution that is cut off at c: 1 - 2 c phi(c) / P.
    const double density = std::exp(-threshold * threshold / 2) / std::sqrt(2 * M_PI);
    EXPECT_NEAR(cut.var().item<double>(), 1 - 2 * threshold * density / share, 0.03);
  }
  EXPECT_EQ(Noise(1, 50, 0).abs().max().item<double>(), 0);
  EXPECT_TRUE(torch::isfinite(Noise(1, 1024, 1)).all().item<bool>());
}

TEST(Latents, SlerpKeepsTheLengthAndTheEnds) {
  const at::Tensor from = torch::tensor({3.0, 0.0}, torch::kDouble);
  const at::Tensor to = torch::tensor({0.0, 3.0}, torch::kDouble);
  EXPECT_TRUE(torch::equal(Slerp(from, to, 0), from));
  EXPECT_TRUE(torch::equal(Slerp(from, to, 1), to));
  const at::Tensor third = Slerp(from, to, 1.0 / 3);
  EXPECT_NEAR(third[0].item<double>(), 3 * std::cos(M_PI / 6), 1e-12);
  EXPECT_NEAR(third[1].item<double>(), 3 * std::sin(M_PI / 6), 1e-12);
  EXPECT_TRUE(torch::equal(Slerp(from, from, 0.5), from)) << "no angle: linear";
  EXPECT_TRUE(torch::allclose(Slerp(from, -from, 0.25), from / 2)) << "a half turn: linear";
  EXPECT_EQ(Slerp(0 * from, 0 * to, 0.5).norm().item<double>(), 0);
}

TEST(PatternMaker, APictureDependsOnItsSeedAloneBitForBit) {
  for (const auto& [generator, side] : {std::pair{"dcgan", 64}, {"classic", 56}}) {
    PatternFolder folder(generator, side);
    const auto maker = folder.Load();
    ASSERT_TRUE(maker.ok()) << maker.status();
    EXPECT_EQ((*maker)->side(), side);
    for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
      const at::Tensor together = Make(**maker, {.seeds = {5, 6, 7}}, precision);
      ASSERT_EQ(together.sizes(), torch::IntArrayRef({3, side, side, 3}));
      EXPECT_EQ(together.scalar_type(), torch::kByte);
      for (std::int64_t i = 0; i < 3; ++i) {
        const auto seed = static_cast<std::uint64_t>(5 + i);
        EXPECT_TRUE(torch::equal(Make(**maker, {.seeds = {seed}}, precision)[0], together[i]));
      }
      EXPECT_FALSE(torch::equal(together[0], together[1]));
    }
  }
}

TEST(PatternMaker, StaysCloseInBf16AndCountsItsBytes) {
  PatternFolder folder;
  const auto maker = folder.Load().value();
  const std::uint64_t fp32_bytes = maker->bytes();
  EXPECT_EQ(fp32_bytes, maker->spec().parameters * 4);
  const at::Tensor fp32 = Make(*maker, {.seeds = {1}}).to(torch::kFloat);
  const at::Tensor bf16 = Make(*maker, {.seeds = {1}}, Precision::kBf16).to(torch::kFloat);
  EXPECT_LT((fp32 - bf16).abs().mean().item<double>(), 3.0);
  EXPECT_GT(fp32.std().item<double>(), 5.0);
  EXPECT_EQ(maker->bytes(), fp32_bytes + fp32_bytes / 2);
}

TEST(PatternMaker, GoesFromOneSeedToAnotherAndMeetsBoth) {
  PatternFolder folder;
  const auto maker = folder.Load().value();
  const at::Tensor way = Make(*maker, {.seeds = {5, 0, 0, 0}, .interpolate_to = 9});
  EXPECT_TRUE(torch::equal(way[0], Make(*maker, {.seeds = {5}})[0]));
  EXPECT_TRUE(torch::equal(way[3], Make(*maker, {.seeds = {9}})[0]));
  EXPECT_FALSE(torch::equal(way[1], way[2]));
}

TEST(PatternMaker, TruncationZeroIsAlwaysTheSamePicture) {
  PatternFolder folder;
  const auto maker = folder.Load().value();
  const at::Tensor still = Make(*maker, {.seeds = {1, 2}, .truncation = 0});
  EXPECT_TRUE(torch::equal(still[0], still[1]));
  EXPECT_FALSE(torch::equal(still[0], Make(*maker, {.seeds = {1}})[0]));
}

TEST(PatternMaker, LabelsAndWordsChangeThePicture) {
  PatternFolder labels;
  labels.spec().classes = {"dots", "stripes"};
  const auto by_label = labels.Load().value();
  const at::Tensor both = Make(*by_label, {.seeds = {1, 1}, .labels = {0, 1}});
  EXPECT_FALSE(torch::equal(both[0], both[1]));

  PatternFolder words;
  words.spec().vocabulary = {"blue", "dress"};
  const auto by_word = words.Load();
  ASSERT_TRUE(by_word.ok()) << by_word.status();
  const at::Tensor blue = Make(**by_word, {.seeds = {1}, .words = {"blue"}});
  EXPECT_FALSE(torch::equal(blue, Make(**by_word, {.seeds = {1}, .words = {"dress"}})));
  EXPECT_FALSE(torch::equal(blue, Make(**by_word, {.seeds = {1}}))) << "told nothing";
}

TEST(PatternMaker, RefusesWhatDoesNotSuitItsModel) {
  PatternFolder labels;
  labels.spec().classes = {"dots", "stripes"};
  const auto maker = labels.Load().value();
  const auto field = [&](const PatternOrder& order) {
    return FieldOf(maker->Make(order, Precision::kFp32).status());
  };
  EXPECT_EQ(field({}), "seed");
  EXPECT_EQ(field({.seeds = {1}, .interpolate_to = 2, .labels = {0}}), "seed");
  EXPECT_EQ(field({.seeds = {1}}), "label");
  EXPECT_EQ(field({.seeds = {1}, .labels = {2}}), "label");
  EXPECT_EQ(field({.seeds = {1}, .truncation = std::nan(""), .labels = {0}}), "truncation");
  EXPECT_EQ(field({.seeds = {1}, .labels = {0}, .words = {"blue"}}), "attributes");
}

TEST(LoadModel, KnowsThePatternsFromThePictures) {
  PatternFolder folder;
  ASSERT_TRUE(folder.Load().ok());
  const auto model = LoadModel({.directory = folder.path()});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_NE(dynamic_cast<PatternMaker*>(model->get()), nullptr);
  EXPECT_EQ(dynamic_cast<Stylizer*>(model->get()), nullptr);
}

TEST(LoadModel, OfADamagedVocabularyIsDataLoss) {
  PatternFolder folder;
  folder.spec().vocabulary = {"two words"};
  EXPECT_EQ(folder.Load().status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace atelier::infer
