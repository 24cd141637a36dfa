// Training steps keep their tensors where their networks are: run on a device that refuses to mix
// its tensors with the CPU's, they lose what they lose on the CPU.
#include "tests/worker/train/strict_device/strict_device.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/compress_config.h"
#include "common/family.h"
#include "tests/support/temp_dir.h"
#include "tests/worker/train/colored_pictures.h"
#include "tests/worker/train/recording_observer.h"
#include "worker/train/datasets.h"
#include "worker/train/loader.h"
#include "worker/train/train_step.h"

namespace atelier::train {
namespace {

using namespace colored;

constexpr std::int64_t kSteps = 2;  // the second with what the first has learnt

struct Case {
  const char* name;
  const char* family;
  std::function<void(TrainConfig&)> configure;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

void AsItIs(TrainConfig& /*config*/) {}

std::vector<Case> Cases() {
  return {
      {"Cyclegan", "cyclegan",
       [](TrainConfig& config) {
         config.augment.differentiable = true;
         config.augment.adaptive = true;
         config.losses.perceptual_weight = 1;
         config.losses.structure_weight = 1;
       }},
      {"CycleganProjected", "cyclegan",
       [](TrainConfig& config) { config.gan.discriminator = DiscriminatorKind::kProjected; }},
      {"Cut", "cut", [](TrainConfig& config) { config.generator = "cut-resnet-6"; }},
      {"Pix2pix", "pix2pix",
       [](TrainConfig& config) {
         config.generator = "unet-64";
         config.pix2pix.edges = true;
       }},
      {"Faststyle", "faststyle", AsItIs},
      {"Multistyle", "multistyle", [](TrainConfig& config) { config.multistyle.mix_share = 1; }},
      {"Reference", "reference", AsItIs},
      {"Gatys", "gatys", [](TrainConfig& config) { config.ema_decay = 0; }},
      {"Dcgan", "dcgan", [](TrainConfig& config) { config.gan.spectral_norm = true; }},
      {"Classic", "dcgan",
       [](TrainConfig& config) {
         config.pattern.classic = true;
         config.image_size = 56;
       }},
      {"Wgan", "wgan", [](TrainConfig& config) { config.gan.steps = 2; }},
      {"Cgan", "cgan", [](TrainConfig& config) { config.gan.mode_seeking_weight = 0.1; }},
      {"CganOfWords", "cgan", [](TrainConfig& config) { config.pattern.words = true; }},
      {"Vaegan", "vaegan", AsItIs},
      {"VaeganFromPictures", "vaegan-pictures", AsItIs},
      {"Distil", kDistil, [](TrainConfig& config) { config.compress.model = "source@1"; }},
  };
}

class OnAStrictDevice : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    at::set_num_threads(1);
    for (int i = 0; i < 4; ++i) {
      const std::string file = std::to_string(i) + ".png";
      Write(root() / "content/blue" / file, Picture(kBlue, i, 80, 80));
      Write(root() / "content/orange" / file, Picture(kOrange, 10 + i, 80, 80));
      Write(root() / "style/green" / file, Picture(kGreen, 20 + i, 80, 80));
      Write(root() / "style/orange" / file, Picture(kOrange, 30 + i, 80, 80));
    }
    config_ = Small(GetParam().family);
    GetParam().configure(config_);
  }

  std::filesystem::path root() const { return directory_.path(); }

  static TrainConfig Small(const std::string& kind) {
    TrainConfig config;
    config.family = kind;
    const Family* family = FindFamily(kind);
    if (family != nullptr) {
      family->set_defaults(config);
    }
    config.content_dataset = "content";
    config.style_dataset = family != nullptr && family->has_style ? "style" : "";
    config.image_size = 64;
    config.base_channels = kind == "faststyle" || kind == kDistil ? 0 : 4;  // "lite" has one width
    config.gan.channels = 4;
    config.gan.pool_size = std::min(config.gan.pool_size, 2);
    config.faststyle.style_size = 64;
    config.batch_size = 2;
    config.ema_decay = 0.9;
    config.seed = 5;
    config.steps = 8;
    config.precision = Precision::kFp32;
    return config;
  }

  TrainJob Job(const TrainConfig& config) const {
    TrainJob job;
    job.config = config;
    job.content_directory = root() / "content";
    job.style_directory = config.style_dataset.empty() ? std::filesystem::path() : root() / "style";
    job.attempt_directory = root() / "attempt";
    job.feature_weights = FeatureWeights();
    return job;
  }

  // A model to compress, where the case does that.
  std::filesystem::path Source() const {
    if (!config_.compresses()) {
      return {};
    }
    TrainConfig config = Small("faststyle");
    config.steps = 1;
    const TrainJob job = Job(config);
    RecordingObserver observer;
    EXPECT_EQ(RunJob(job, observer), Outcome::kFinished);
    return job.attempt_directory / "result";
  }

  TrainConfig config_;
  test::TempDir directory_;
};
INSTANTIATE_TEST_SUITE_P(Families, OnAStrictDevice, testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(StrictDevice, RefusesTensorsOfTheCpu) {
  const torch::Tensor here = torch::ones({2, 2}, StrictDevice());
  const torch::Tensor there = torch::ones({2, 2});
  EXPECT_THROW(here + there, c10::Error);
  EXPECT_THROW(torch::cat({here, there}), c10::Error);
  EXPECT_THROW(torch::matmul(here, there), c10::Error);
  EXPECT_THROW(here.index_select(0, torch::zeros({1}, torch::kInt64)), c10::Error);
  EXPECT_EQ((here * torch::tensor(3.0F)).sum().item<float>(), 12.0F);
  EXPECT_TRUE(torch::equal(here.to(torch::kCPU), there));
}

TEST_P(OnAStrictDevice, LosesWhatItLosesOnTheCpu) {
  const TrainJob job = Job(config_);
  const StepRow& row = *FindStepRow(config_.family).value();
  const Datasets sets = OpenDatasets(job, row.batch_kind(config_)).value();
  const ImageFolder* style = sets.style.has_value() ? &*sets.style : nullptr;
  const std::filesystem::path source = Source();
  const auto make = [&](const torch::Device& device) {
    return MakeStep(row, {.config = config_,
                          .feature_weights = job.feature_weights,
                          .content = sets.content,
                          .style = style,
                          .source_model = source,
                          .device = device});
  };
  auto on_cpu = make(torch::kCPU);
  auto strict = make(StrictDevice());
  ASSERT_TRUE(on_cpu.ok() && strict.ok()) << on_cpu.status() << strict.status();
  BatchLoader loader(config_, row.batch_kind(config_), sets.content, style);
  torch::Tensor pictures;
  for (std::int64_t i = 0; i < kSteps; ++i) {
    const Batch batch = loader.Get(i).value();
    pictures = batch.content;
    const auto expected = (*on_cpu)->Run(batch, i);
    const auto losses = (*strict)->Run(OnDevice(batch, StrictDevice()), i);
    ASSERT_EQ(losses.size(), expected.size());
    for (const auto& [name, loss] : expected) {
      EXPECT_NEAR(losses.at(name), loss, 1e-3 * std::max(1.0, std::abs(loss)))
          << name << " of step " << i;
    }
    // A checkpoint goes from the one to the other.
    ASSERT_TRUE((*strict)->LoadState((*on_cpu)->State()).ok());
  }
  for (const auto& [name, tensor] : (*strict)->State()) {
    EXPECT_TRUE(tensor.is_cpu()) << name;
  }
  const torch::NoGradGuard no_grad;
  const auto to_sample = pictures.defined() ? pictures : torch::zeros({2, 3, 64, 64});
  const auto rows = (*on_cpu)->Sample(to_sample);
  const auto strict_rows = (*strict)->Sample(to_sample.to(StrictDevice()));
  ASSERT_EQ(strict_rows.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_LE((strict_rows[i].cpu() - rows[i]).abs().max().item<double>(), 1e-3) << "row " << i;
  }
}

}  // namespace
}  // namespace atelier::train
