// Every family on tiny sets: it learns what its sets have to teach, it goes on from a checkpoint
// bit by bit, and what it leaves can be served.
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/family.h"
#include "common/files.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/train/colored_pictures.h"
#include "tests/worker/train/recording_observer.h"
#include "worker/infer/pattern_maker.h"
#include "worker/infer/stylizer.h"
#include "worker/models/pattern_table.h"
#include "worker/train/checkpoint.h"
#include "worker/train/train_step.h"
#include "worker/train/trainer.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using namespace colored;

struct FamilyCase {
  const char* name;
  std::function<void(TrainConfig&)> configure;
};

void PrintTo(const FamilyCase& c, std::ostream* out) { *out << c.name; }

void Small(TrainConfig& config, const char* family) {
  config = TrainConfig{};
  config.family = family;
  FindFamily(family)->set_defaults(config);
  config.content_dataset = "content";
  config.image_size = 64;
  config.base_channels = 4;
  config.gan.channels = 8;
  config.batch_size = 2;
  config.seed = 5;
  config.steps = 60;
  config.checkpoint_every_steps = 4;
  config.sample_every_epochs = 1000;
  config.precision = Precision::kFp32;
  config.learning_rate = 2e-3;
}

// From little noise more than its mean is learnt in a few steps.
void SmallPattern(TrainConfig& config, const char* family) {
  Small(config, family);
  config.base_channels = 8;
  config.pattern.latent_size = 8;
}

std::vector<FamilyCase> FamilyCases() {
  return {
      {"Faststyle",
       [](TrainConfig& config) {
         Small(config, "faststyle");
         config.base_channels = 0;  // "lite" has one width
         config.faststyle.style_size = 64;
         config.faststyle.luminance_weight = 0.2;
         config.faststyle.content_weight = 0.2;
         config.ema_decay = 0.8;
         config.learning_rate = 4e-3;
         config.schedule.warmup_steps = 0;
         config.batch_size = 1;
         config.steps = 24;
       }},
      {"Multistyle",
       [](TrainConfig& config) {
         Small(config, "multistyle");
         config.faststyle.style_size = 64;
         config.faststyle.luminance_weight = 0.2;
         config.faststyle.content_weight = 0.2;
         config.ema_decay = 0.8;
         config.accumulate = 2;
         config.learning_rate = 4e-3;
         config.schedule.warmup_steps = 0;
         config.steps = 40;
       }},
      {"Reference",
       [](TrainConfig& config) {
         Small(config, "reference");
         config.reference.content_weight = 0.2;
         config.reference.style_weight = 0.1;
         config.ema_decay = 0.8;
         config.accumulate = 2;
         config.learning_rate = 4e-3;
         config.steps = 18;
       }},
      {"Gatys",
       [](TrainConfig& config) {
         Small(config, "gatys");
         config.gatys.content_weight = 0.1;
         config.learning_rate = 0.05;
         config.steps = 16;
       }},
      {"Cyclegan",
       [](TrainConfig& config) {
         Small(config, "cyclegan");
         config.tier = "base";
         config.ema_decay = 0.9;
         config.steps = 40;
       }},
      {"Cut",
       [](TrainConfig& config) {
         Small(config, "cut");
         config.generator = "cut-resnet-6";
         config.base_channels = 8;
         config.cut.patches = 64;
         config.cut.layers = {0, 4, 8};
         config.cut.flip_equivariance = true;
         config.ema_decay = 0.9;
         config.learning_rate = 1e-3;
         config.gan.learning_rate = 5e-4;
         config.steps = 80;
       }},
      {"Pix2pix",
       [](TrainConfig& config) {
         Small(config, "pix2pix");
         config.generator = "unet-64";
         config.accumulate = 2;
         config.steps = 40;
       }},
      {"Dcgan",
       [](TrainConfig& config) {
         SmallPattern(config, "dcgan");
         config.learning_rate = 1e-2;
         config.gan.learning_rate = 2e-3;
         config.batch_size = 4;
         config.steps = 100;
       }},
      {"WganWithPenalty",
       [](TrainConfig& config) {
         SmallPattern(config, "wgan");
         config.gan.steps = 2;
         config.steps = 50;
       }},
      {"WganWithClipping",
       [](TrainConfig& config) {
         SmallPattern(config, "wgan");
         config.gan.steps = 2;
         config.gan.gradient_penalty_weight = 0;
         config.gan.clip_weights = 0.03;
       }},
      {"Cgan",
       [](TrainConfig& config) {
         Small(config, "cgan");
         config.gan.mode_seeking_weight = 0.1;  // its default: mode_seeking_test.cc
         config.base_channels = 8;
         config.batch_size = 8;
         config.augment.differentiable = true;
         config.steps = 100;
       }},
      {"CganOfWords",
       [](TrainConfig& config) {
         Small(config, "cgan");
         config.pattern.words = true;
         config.gan.mode_seeking_weight = 0.1;
         config.base_channels = 8;
         config.batch_size = 8;
         config.augment.differentiable = true;
         config.steps = 150;
       }},
      {"Vaegan",
       [](TrainConfig& config) {
         SmallPattern(config, "vaegan");
         config.learning_rate = 1e-2;
         config.gan.learning_rate = 2e-3;
         config.batch_size = 4;
       }},
      {"VaeganFromPictures",
       [](TrainConfig& config) {
         Small(config, "vaegan-pictures");
         config.ema_decay = 0.8;
         config.batch_size = 1;
         config.accumulate = 2;
         config.steps = 40;
       }},
      {"Classic",
       [](TrainConfig& config) {
         Small(config, "dcgan");
         config.pattern.classic = true;
         config.image_size = 56;
         config.base_channels = 8;
         config.ema_decay = 0.9;
         config.learning_rate = 4e-3;
         config.steps = 100;
       }},
  };
}

// In shadow above and not below: a left and a right half would be mixed by flips.
constexpr float kShadow = 1.0F / 3;

torch::Tensor ShadedAbove(const torch::Tensor& picture) {
  torch::Tensor shaded = picture.clone();
  shaded.narrow(0, 0, picture.size(0) / 2).floor_divide_(std::lround(1 / kShadow));
  return shaded;
}

class EveryFamily : public testing::TestWithParam<FamilyCase> {
 protected:
  void SetUp() override {
    at::set_num_threads(2);
    GetParam().configure(config_);
    const Family& family = *FindFamily(config_.family);
    for (int i = 0; i < 4; ++i) {
      const std::string file = std::to_string(i) + ".png";
      if (config_.family == "pix2pix") {
        Write(root() / "content" / file,
              torch::cat({Picture(kBlue, i, 80, 80), Picture(kOrange, i, 80, 80)}, 1));
      } else if (config_.pattern.words) {
        Write(root() / "content/dress" / ("b" + file), Picture(kBlue, i, 80, 80));
        Write(root() / "content/dress" / ("o" + file), Picture(kOrange, 10 + i, 80, 80));
      } else if (family.has_labels) {
        Write(root() / "content/blue" / file, Picture(kBlue, i, 80, 80));
        Write(root() / "content/orange" / file, Picture(kOrange, 10 + i, 80, 80));
      } else if (family.from_noise) {
        Write(root() / "content" / file, ShadedAbove(Picture(kOrange, i, 80, 80)));
      } else if (config_.family == "multistyle") {
        Write(root() / "content" / file, Picture(kBlue, i, 80, 80));
        Write(root() / "style/green" / file, Picture(kGreen, 20 + i, 80, 80));
        Write(root() / "style/orange" / file, Picture(kOrange, 30 + i, 80, 80));
      } else if (KeepsWhatDiffers()) {
        Write(root() / "content" / file, DarkOnOneSide(Picture(kBlue, i, 80, 80), i % 2 == 0));
        Write(root() / "style" / file, DarkOnOneSide(Picture(kOrange, 20 + i, 80, 80), i % 2 == 0));
      } else {
        Write(root() / "content" / file, Picture(kBlue, i, 80, 80));
        Write(root() / "style" / file, Picture(kOrange, 20 + i, 80, 80));
      }
    }
    if (family.has_style) {
      config_.style_dataset = "style";
    }
  }

  fs::path root() const { return directory_.path(); }

  // Patterns of one kind, whose pictures are shaded.
  bool ShowsShadow() const {
    const Family& family = *FindFamily(config_.family);
    return family.from_noise && !family.has_labels;
  }

  // A family whose codes hold of a picture what the pictures of its sets differ in, and little else
  // after a few steps: these must be dark on one side or the other.
  bool KeepsWhatDiffers() const { return config_.family == "vaegan-pictures"; }

  // The mean colour of what is learnt.
  colored::Color Target() const {
    const float share = ShowsShadow() ? (1 + kShadow) / 2 : KeepsWhatDiffers() ? 0.75F : 1;
    return {kOrange.red * share, kOrange.green * share, kOrange.blue * share};
  }

  TrainJob Job(const std::string& attempt) const {
    TrainJob job;
    job.config = config_;
    job.content_directory = root() / "content";
    job.style_directory = config_.style_dataset.empty() ? fs::path() : root() / "style";
    job.attempt_directory = root() / "attempts" / attempt;
    job.feature_weights = FeatureWeights();
    return job;
  }

  // What the result of `job` makes: restyled content, or patterns, of label `label` if it has
  // labels, or of the caption that means the same; [N, 3, H, W] in [-1, 1].
  torch::Tensor Results(const TrainJob& job, int label = 0) const {
    const fs::path folder = job.attempt_directory / "result";
    const ModelSpec spec = ReadModelSpec(folder).value();
    EXPECT_EQ(spec.family, config_.family);
    if (models::IsPattern(spec.architecture)) {
      const auto maker = infer::PatternMaker::Load({.directory = folder});
      EXPECT_TRUE(maker.ok()) << maker.status();
      infer::PatternOrder order = {.seeds = {0, 1, 2, 3, 4, 5, 6, 7}};
      order.labels.assign(spec.classes.empty() ? 0 : order.seeds.size(), label);
      if (!spec.vocabulary.empty()) {
        order.words = {"plain", label == 0 ? "blue" : "orange", "dress"};
      }
      const auto patterns = (*maker)->Make(order, Precision::kFp32);
      EXPECT_TRUE(patterns.ok()) << patterns.status();
      return patterns->permute({0, 3, 1, 2}).to(torch::kFloat) / 127.5 - 1;
    }
    return Restyled(job, label, Picture(kBlue, 99, 72, 65).unsqueeze(0));
  }

  // Mean brightness of the upper and the lower half of pictures [N, 3, H, W].
  static std::pair<double, double> Halves(const torch::Tensor& pictures) {
    const std::int64_t half = pictures.size(2) / 2;
    return {pictures.narrow(2, 0, half).mean().item<double>(),
            pictures.narrow(2, half, half).mean().item<double>()};
  }

  // Photographs [N, H, W, 3] restyled by the result of `job`.
  torch::Tensor Restyled(const TrainJob& job, int label, const torch::Tensor& photos) const {
    const fs::path folder = job.attempt_directory / "result";
    const auto stylizer =
        infer::Stylizer::Load({.directory = folder, .feature_weights = FeatureWeights()});
    EXPECT_TRUE(stylizer.ok()) << stylizer.status();
    infer::StylizeControls controls;
    const std::size_t classes = ReadModelSpec(folder).value().classes.size();
    if (classes > 0) {
      controls.mix.resize(classes);
      controls.mix.at(static_cast<std::size_t>(label)) = 1;
    }
    if (config_.family == "reference") {
      controls.style_image = Picture(kOrange, 98, 80, 90);
    }
    const auto styled = (*stylizer)->Stylize(photos, controls);
    EXPECT_TRUE(styled.ok()) << styled.status();
    return styled->permute({0, 3, 1, 2}).to(torch::kFloat) / 127.5 - 1;
  }

  // Trains with config_, and expects of the result what its sets teach.
  void ExpectLearnt();

  TrainConfig config_;
  test::TempDir directory_;
};
INSTANTIATE_TEST_SUITE_P(Families, EveryFamily, testing::ValuesIn(FamilyCases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Families, WhatTheServerAcceptsCanBeTrainedAndIsHere) {
  std::set<std::string> trained;
  for (const FamilyCase& each : FamilyCases()) {
    TrainConfig config;
    each.configure(config);
    trained.insert(config.family);
  }
  for (const Family& family : Families()) {
    EXPECT_TRUE(FindStepRow(family.name).ok()) << family.name;
    EXPECT_TRUE(trained.contains(std::string(family.name))) << family.name;
  }
  EXPECT_TRUE(absl::IsUnimplemented(FindStepRow("hydragan").status()));
}

void EveryFamily::ExpectLearnt() {
  const std::string seed = std::to_string(config_.seed);
  RecordingObserver observer;
  TrainJob before = Job("before-" + seed);
  before.config.steps = 1;
  before.config.learning_rate = 1e-8;
  ASSERT_EQ(RunJob(before, observer), Outcome::kFinished);
  const TrainJob after = Job("after-" + seed);
  ASSERT_EQ(RunJob(after, observer), Outcome::kFinished);
  const torch::Tensor results = Results(after, 1);
  const double at_first = DistanceTo(Target(), MeanColor(Results(before, 1)));
  const double at_last = DistanceTo(Target(), MeanColor(results));
  // Clipped critics tell dark from bright long before hues.
  EXPECT_LT(at_last, (config_.gan.clip_weights > 0 ? 0.85 : 0.6) * at_first)
      << "from " << at_first << " to " << at_last;
  if (!FindFamily(config_.family)->from_noise) {
    const auto [sides, ends] =
        Following([&](const torch::Tensor& photos) { return Restyled(after, 1, photos); });
    EXPECT_GT(std::abs(sides), 0.3) << "the results do not depend on the photographs";
    EXPECT_LT(std::abs(ends), std::abs(sides));
  }
  if (ShowsShadow()) {
    const auto [above, below] = Halves(results);
    EXPECT_GT(below - above, 0.2) << "no shadow above, " << above << " and " << below;
    EXPECT_GT(results.std(0).mean().item<double>(), 0.03) << "all noise makes one picture";
  }
  if (FindFamily(config_.family)->has_labels) {
    EXPECT_LT(DistanceTo(kBlue, MeanColor(Results(after, 0))),
              DistanceTo(kOrange, MeanColor(Results(after, 0))));
    EXPECT_LT(DistanceTo(kOrange, MeanColor(results)), DistanceTo(kBlue, MeanColor(results)));
  }
  const fs::path model = after.attempt_directory / "result";
  const std::string card = ReadFile(model / "card.md", 1 << 20).value_or("");
  EXPECT_THAT(card, testing::HasSubstr("`" + config_.family + "`"));
  EXPECT_THAT(card, testing::HasSubstr("| content | content |"));
  if (!config_.style_dataset.empty()) {
    EXPECT_THAT(card, testing::HasSubstr("| style | style |"));
  }
  EXPECT_THAT(ReadFile(model / "preview.jpg", 1 << 20).value_or(""),
              testing::StartsWith("\xff\xd8"));
}

// So short a training of two players fails with some seeds, with which ones depends on how the
// processor rounds: one of three must learn.
TEST_P(EveryFamily, LearnsTheColoursOfItsSet) {
  std::string failures;
  for (const std::uint64_t seed : {5, 6, 7}) {
    config_.seed = seed;
    testing::TestPartResultArray found;
    {
      const testing::ScopedFakeTestPartResultReporter reporter(
          testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &found);
      ExpectLearnt();
    }
    if (found.size() == 0) {
      return;
    }
    for (int i = 0; i < found.size(); ++i) {
      failures +=
          "seed " + std::to_string(seed) + ": " + found.GetTestPartResult(i).message() + "\n";
    }
  }
  FAIL() << failures;
}

TEST_P(EveryFamily, GoesOnFromACheckpointBitByBit) {
  config_.steps = 8;
  GoingOn().Expect([&](const std::string& attempt) { return Job(attempt); }, 4,
                   {"result/weights.safetensors", "checkpoints/step-8/state.safetensors"});
  // However many parts a batch has, every network makes one step of it. (gatys takes turns.)
  const auto state = LoadCheckpoint(root() / "attempts/whole/checkpoints/step-8");
  ASSERT_TRUE(state.ok()) << state.status();
  for (const auto& [name, tensor] : state->state) {
    if (name.ends_with("#step") && !FindFamily(config_.family)->optimizes_pixels) {
      const bool critic = name.starts_with("discriminator");
      EXPECT_EQ(tensor.item<std::int64_t>(), critic ? 8 * config_.gan.steps : 8) << name;
    }
  }
}

}  // namespace
}  // namespace atelier::train
