// What is drawn for a sample is a function of the sample: a batch of four draws what two batches of
// two draw, whether they follow each other (accumulate) or lie on two ranks.
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "common/family.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/train/colored_pictures.h"
#include "worker/nn/dropout.h"
#include "worker/train/adversarial_loss.h"
#include "worker/train/diff_augment.h"
#include "worker/train/image_pool.h"
#include "worker/train/keyed_noise.h"
#include "worker/train/learner.h"
#include "worker/train/patch_nce.h"
#include "worker/train/train_step.h"

namespace atelier::train {
namespace {

using namespace colored;

constexpr std::int64_t kFirst = 40;
constexpr SampleRange kAll = {.first = kFirst, .count = 4};
constexpr SampleRange kFront = {.first = kFirst, .count = 2};
constexpr SampleRange kBack = {.first = kFirst + 2, .count = 2};

// A draw for `count` pictures of some samples, [count, ...].
struct Draw {
  const char* name;
  std::function<torch::Tensor(const SampleRange& samples, std::int64_t count)> make;
};

void PrintTo(const Draw& draw, std::ostream* out) { *out << draw.name; }

std::vector<KeyedRandom> Randoms(const SampleRange& samples, std::int64_t count, Purpose purpose) {
  return KeyedRandoms(7, samples, count, 2, purpose);
}

std::vector<Draw> Draws() {
  return {
      {"Dropout",
       [](const SampleRange& samples, std::int64_t count) {
         nn::KeyedDropout dropout(0.3);
         dropout->SetRandom(DropoutRandoms(TrainConfig(), samples));
         return torch::cat(
             {dropout(torch::ones({count, 3, 5, 5})), dropout(torch::ones({count, 3, 5, 5}))}, 1);
       }},
      {"Latent",
       [](const SampleRange& samples, std::int64_t count) {
         // Once a sample, so this has no second time to tell apart.
         const torch::Tensor noise = KeyedNoise(7, samples, 1, {samples.count, 6}, torch::kCPU);
         return count == samples.count ? noise : torch::cat({noise, noise + 1});
       }},
      {"Penalty",
       [](const SampleRange& samples, std::int64_t count) {
         const torch::Tensor shares = PenaltyShares(7, 1, samples);
         return count == samples.count ? shares
                                       : torch::cat({shares, PenaltyShares(7, 1001, samples)});
       }},
      {"DiffAugment",
       [](const SampleRange& samples, std::int64_t count) {
         std::vector<DiffAugmentDraw> draws;
         for (const KeyedRandom& random : Randoms(samples, count, Purpose::kDiffAugment)) {
           draws.push_back(DrawDiffAugment(16, 16, 0.7, random));
         }
         const torch::Tensor ramp = torch::linspace(-1, 1, 3 * 16 * 16).view({1, 3, 16, 16});
         return DiffAugment(ramp.repeat({count, 1, 1, 1}), draws);
       }},
      {"Patches",
       [](const SampleRange& samples, std::int64_t count) {
         return DrawPatches({torch::zeros({count, 1, 9, 9})}, 12,
                            Randoms(samples, count, Purpose::kPatches))[0];
       }},
  };
}

class KeyedDraws : public testing::TestWithParam<Draw> {};
INSTANTIATE_TEST_SUITE_P(Kinds, KeyedDraws, testing::ValuesIn(Draws()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(KeyedDraws, FourSamplesDrawWhatTwoAndTwoDraw) {
  const auto& make = GetParam().make;
  const torch::Tensor all = make(kAll, 4);
  EXPECT_TRUE(torch::equal(all, torch::cat({make(kFront, 2), make(kBack, 2)})));
  for (std::int64_t i = 1; i < 4; ++i) {
    EXPECT_FALSE(torch::equal(all[0], all[i])) << i;
  }
}

TEST_P(KeyedDraws, ABatchThatHoldsItsSamplesTwiceDrawsForEachTime) {
  const auto& make = GetParam().make;
  const torch::Tensor all = make(kAll, 8).view({2, 4, -1});
  const torch::Tensor front = make(kFront, 4).view({2, 2, -1});
  const torch::Tensor back = make(kBack, 4).view({2, 2, -1});
  EXPECT_TRUE(torch::equal(all, torch::cat({front, back}, 1)));
  EXPECT_FALSE(torch::equal(all[0][0], all[1][0]));
}

TEST(KeyedDrawsTest, ThePoolShowsThePartsOfABatchWhatItShowsTheWhole) {
  const auto shown = [](const std::vector<SampleRange>& parts) {
    ImagePool pool(3);
    std::vector<torch::Tensor> all;
    for (std::int64_t step = 0; step < 6; ++step) {
      for (SampleRange part : parts) {
        part.first += 4 * step;
        const torch::Tensor numbers =
            torch::arange(part.first, part.first + part.count, torch::kFloat32);
        all.push_back(
            pool.Exchange(numbers.view({-1, 1, 1, 1}), Randoms(part, part.count, Purpose::kPool)));
      }
    }
    return torch::cat(all).flatten();
  };
  const torch::Tensor whole = shown({kAll});
  EXPECT_TRUE(torch::equal(whole, shown({kFront, kBack})));
  EXPECT_FALSE(torch::equal(whole, torch::arange(kFirst, kFirst + 24, torch::kFloat32)));
}

// A family whose step draws.
struct DrawCase {
  const char* name;
  const char* family;
  std::function<void(TrainConfig&)> configure;
};

void PrintTo(const DrawCase& c, std::ostream* out) { *out << c.name; }

// Without what depends on how a batch is cut: mode seeking is a ratio of two means over a part, and
// spectral norms take a step of their iteration a part. Hinge losses of fresh networks are near 0
// and mostly rounding.
void CganThatDraws(TrainConfig& config) {
  config.gan.loss = GanLoss::kVanilla;
  config.gan.mode_seeking_weight = 0;
  config.gan.spectral_norm = false;
  config.augment.differentiable = true;
}

std::vector<DrawCase> DrawCases() {
  return {
      {"Faststyle", "faststyle",
       [](TrainConfig& config) {
         config.base_channels = 0;  // "lite" has one width
       }},
      {"Multistyle", "multistyle", [](TrainConfig&) {}},
      {"Reference", "reference", [](TrainConfig& config) { config.augment.differentiable = true; }},
      {"Cyclegan", "cyclegan",
       [](TrainConfig& config) {
         config.generator = "resnet-6";
         config.augment.differentiable = true;
         config.gan.pool_size = 2;
       }},
      {"Cut", "cut",
       [](TrainConfig& config) {
         config.generator = "cut-resnet-6";
         config.cut.patches = 8;
         config.cut.flip_equivariance = true;
         config.augment.differentiable = true;
       }},
      {"Pix2pix", "pix2pix",
       [](TrainConfig& config) {
         config.generator = "unet-64";
         config.generator_options.norm = "instance";
         config.gan.gradient_penalty_weight = 1;
       }},
      {"Dcgan", "dcgan", [](TrainConfig& config) { config.augment.differentiable = true; }},
      {"Classic", "dcgan",
       [](TrainConfig& config) {
         config.pattern.classic = true;
         config.image_size = 56;
       }},
      {"Wgan", "wgan", [](TrainConfig& config) { config.gan.steps = 1; }},
      {"Cgan", "cgan", CganThatDraws},
      {"CganOfWords", "cgan",
       [](TrainConfig& config) {
         CganThatDraws(config);
         config.pattern.words = true;
       }},
      {"Vaegan", "vaegan",
       [](TrainConfig& config) {
         config.pattern.classic = true;
         config.image_size = 56;
       }},
      {"VaeganPictures", "vaegan-pictures",
       [](TrainConfig& config) { config.augment.differentiable = true; }},
  };
}

class FamilyDraws : public testing::TestWithParam<DrawCase> {
 protected:
  void SetUp() override {
    at::set_num_threads(2);
    config_.family = GetParam().family;
    const Family& family = *FindFamily(config_.family);
    family.set_defaults(config_);
    config_.image_size = 64;
    config_.base_channels = 4;
    config_.gan.channels = 4;
    config_.faststyle.style_size = 64;
    config_.seed = 5;
    config_.steps = 100;
    config_.precision = Precision::kFp32;
    // The parts' discriminators are to be the whole's: nothing learns.
    config_.learning_rate = 1e-30;
    config_.gan.learning_rate = 1e-30;
    config_.gan.norm = "instance";
    GetParam().configure(config_);
    for (int i = 0; i < 3; ++i) {
      const std::string file = std::to_string(i) + ".png";
      Write(directory_ / "content" / (i < 2 ? "blue" : "pale") / file, Picture(kBlue, i, 80, 80));
      Write(directory_ / "style/green" / file, Picture(kGreen, 20 + i, 90, 100));
      Write(directory_ / "style/orange" / file, Picture(kOrange, 30 + i, 90, 100));
    }
    content_ = ImageFolder::Open({.directory = directory_ / "content", .short_side = 80}).value();
    style_ = ImageFolder::Open({.directory = directory_ / "style", .short_side = 80}).value();
  }

  // Batch norms look at the whole batch, whatever is drawn: here they do not.
  static void UseFixedStatistics(torch::nn::Module& network) {
    for (const auto& module : network.modules()) {
      if (module->named_buffers(/*recurse=*/false).contains("running_mean")) {
        module->eval();
      }
    }
  }

  // The losses of a step that begins with sample `first`, with a pool those of the next one, which
  // finds it full.
  std::map<std::string, double> Losses(int batch_size, int accumulate, std::int64_t first) {
    config_.batch_size = batch_size;
    config_.accumulate = accumulate;
    auto step = FindStepRow(config_.family)
                    .value()
                    ->make({.config = config_,
                            .feature_weights = FeatureWeights(),
                            .content = content_,
                            .style = FindFamily(config_.family)->has_style ? &style_ : nullptr})
                    .value();
    for (const NamedNetwork& network : step->Networks()) {
      UseFixedStatistics(*network.network);
    }
    std::map<std::string, double> losses;
    for (std::int64_t i = 0; i < (config_.gan.pool_size > 0 ? 2 : 1); ++i) {
      Batch batch;
      const auto random = at::detail::createCPUGenerator(static_cast<std::uint64_t>(11 + i));
      const std::int64_t side = config_.image_size;
      batch.content = torch::rand({4, 3, side, side}, random, torch::kFloat32) * 2 - 1;
      batch.target = torch::rand({4, 3, side, side}, random, torch::kFloat32) * 2 - 1;
      batch.labels = torch::tensor({0, 0, 1, 0}, torch::kInt64);
      batch.content_places = {0, 1, 2, 0};
      batch.target_places = {0, 1, 2, 0};
      batch.first_sample = first + 4 * i;
      losses = step->Run(batch, i);
    }
    return losses;
  }

  TrainConfig config_;
  ImageFolder content_;
  ImageFolder style_;
  test::TempDir directory_;
};
INSTANTIATE_TEST_SUITE_P(Families, FamilyDraws, testing::ValuesIn(DrawCases()),
                         [](const auto& info) { return std::string(info.param.name); });

double Difference(const std::map<std::string, double>& a, const std::map<std::string, double>& b) {
  double largest = 0;
  for (const auto& [name, value] : a) {
    // Some families tell the last part's.
    if (!name.starts_with("discriminator")) {
      largest = std::max(largest, std::abs(value - b.at(name)) / (1e-3 + std::abs(value)));
    }
  }
  return largest;
}

TEST_P(FamilyDraws, ABatchOfFourLearnsWhatTwoPartsOfTwoLearn) {
  const auto whole = Losses(4, 1, kFirst);
  EXPECT_LT(Difference(whole, Losses(2, 2, kFirst)), 2e-5);
  EXPECT_GT(Difference(whole, Losses(4, 1, kFirst + 1)), 1e-4) << "nothing is drawn";
}

}  // namespace
}  // namespace atelier::train
