// Training on GPUs, and in mixed precision on every device. The parts that need a GPU skip where
// there is none; strict_device_test.cc checks without one that a step keeps its tensors together.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "common/compress_config.h"
#include "tests/worker/train/watched_job.h"
#include "worker/infer/device.h"
#include "worker/train/checkpoint.h"
#include "worker/train/datasets.h"
#include "worker/train/loader.h"
#include "worker/train/train_step.h"

namespace atelier::train {
namespace {

using LossesByName = std::map<std::string, double>;

// What a GPU trains; "distil" is a compression.
constexpr const char* kFamilies[] = {
    "cyclegan", "cut",  "pix2pix", "faststyle", "multistyle",      "reference", "gatys",
    "dcgan",    "wgan", "cgan",    "vaegan",    "vaegan-pictures", kDistil};
// Half precision is emulated on CPUs and takes long there: some of them.
constexpr const char* kFamiliesOnCpu[] = {"cyclegan", "cut", "faststyle", "dcgan", "wgan"};
constexpr std::int64_t kDeviceSteps = 4;

// Test names have no hyphens.
std::string TestNameOf(std::string family) {
  std::erase(family, '-');
  return family;
}

class Devices : public Watched {
 protected:
  // In two folders each, which are labels to the families that have some; and pairs.
  void SetUp() override {
    Watched::SetUp();
    for (int i = 0; i < 6; ++i) {
      colored::Write(root() / "pairs" / (std::to_string(i) + ".png"),
                     torch::cat({colored::Picture(colored::kBlue, i, 80, 80),
                                 colored::Picture(colored::kOrange, i, 80, 80)},
                                1));
    }
    for (const char* set : {"content", "style"}) {
      for (int i = 0; i < 6; ++i) {
        const std::string file = std::to_string(i) + ".png";
        const std::filesystem::path folder = root() / set / (i < 3 ? "dots" : "stripes");
        std::filesystem::create_directories(folder);
        std::filesystem::rename(root() / set / file, folder / file);
      }
    }
  }

  // A family with tensors of every kind: a pool, a mean of the weights, a clipped gradient.
  static TrainConfig Mixed(const std::string& family, Precision precision) {
    const bool distils = family == kDistil;
    TrainConfig config = Small(distils ? "faststyle" : family.c_str());
    if (distils) {
      config.family = kDistil;
      config.compress.model = "source@1";
      config.style_dataset = "";
    }
    config.precision = precision;
    config.gradient_clip = 10;
    config.ema_decay = config.family == "gatys" ? 0 : 0.9;
    // Small: Adam's first steps go by the signs of gradients, and what differs in one of them is
    // to show in the next losses as rounding, not as another training.
    config.learning_rate = 1e-4;
    config.gan.learning_rate = 1e-4;
    config.gan.steps = 1;
    config.faststyle.style_size = 64;
    if (config.family == "faststyle" || distils) {
      config.base_channels = 0;  // "lite" has one width
    } else if (config.family == "pix2pix") {
      config.generator = "unet-64";
    } else if (config.family == "cut") {
      config.generator = "cut-resnet-6";
    } else if (config.family == "cyclegan") {
      config.generator = "resnet-6";
    }
    return config;
  }

  // With its pairs, or the model that it compresses, where it has those.
  TrainJob JobOf(const TrainConfig& config, const std::string& attempt) const {
    TrainJob job = Job(config, attempt);
    if (config.family == "pix2pix") {
      job.content_directory = root() / "pairs";
    }
    if (config.compresses()) {
      TrainConfig source = Mixed("faststyle", Precision::kFp32);
      source.steps = 1;
      source.seed = 6;  // with the job's own the student would begin as its source
      const TrainJob source_job = Job(source, "source");
      job.source_model = source_job.attempt_directory / "result";
      RecordingObserver observer;
      if (!std::filesystem::exists(job.source_model)) {
        EXPECT_EQ(RunJob(source_job, observer), Outcome::kFinished);
      }
    }
    return job;
  }

  // Of the first steps of a job.
  std::vector<LossesByName> FirstLosses(const TrainConfig& config,
                                        const torch::Device& device) const {
    std::vector<LossesByName> losses;
    const TrainJob job = JobOf(config, "unused");
    const StepRow& row = *FindStepRow(config.family).value();
    const Datasets sets = OpenDatasets(job, row.batch_kind(config)).value();
    const ImageFolder* style = sets.style.has_value() ? &*sets.style : nullptr;
    auto step = MakeStep(row, {.config = config,
                               .feature_weights = job.feature_weights,
                               .content = sets.content,
                               .style = style,
                               .source_model = job.source_model,
                               .device = device});
    EXPECT_TRUE(step.ok()) << step.status();
    if (!step.ok()) {
      return {};
    }
    // A scale that fits: the first one may be too large, and steps left out to find a better one
    // make another training.
    TensorMap state = (*step)->State();
    for (auto& [name, tensor] : state) {
      if (name.ends_with("#scale")) {
        tensor = torch::tensor({128.0, 0.0}, torch::kFloat64);
      }
    }
    EXPECT_TRUE((*step)->LoadState(state).ok());
    BatchLoader loader(config, row.batch_kind(config), sets.content, style);
    for (std::int64_t i = 0; i < kDeviceSteps; ++i) {
      losses.push_back((*step)->Run(OnDevice(loader.Get(i).value(), device), i));
      EXPECT_FALSE((*step)->TakeSkipped()) << "step " << i;
    }
    for (const auto& [name, tensor] : (*step)->State()) {
      if (name.ends_with("#scale")) {
        EXPECT_EQ(tensor[1].item<std::int64_t>(), kDeviceSteps)
            << "no step was left out by " << name;
      }
    }
    return losses;
  }

  // Every loss of every step differs by at most this share of the largest loss of that step.
  static void ExpectNear(const std::vector<LossesByName>& expected,
                         const std::vector<LossesByName>& actual, double share) {
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      double largest = 0;
      for (const auto& [name, loss] : expected[i]) {
        largest = std::max(largest, std::abs(loss));
      }
      for (const auto& [name, loss] : expected[i]) {
        EXPECT_NEAR(actual[i].at(name), loss, share * largest) << name << " of step " << i;
      }
    }
  }
};

// The first GPU, or a test that skips and says why.
#define ATELIER_GPU_OR_SKIP(device)                                              \
  const absl::StatusOr<c10::Device> device = infer::OpenDevice("cuda:0");        \
  if (!(device).ok()) {                                                          \
    GTEST_SKIP() << "needs a GPU: " << std::string((device).status().message()); \
  }                                                                              \
  at::globalContext().setAllowTF32CuDNN(false)

class MixedPrecision : public Devices,
                       public testing::WithParamInterface<std::tuple<const char*, const char*>> {};
INSTANTIATE_TEST_SUITE_P(OnCpu, MixedPrecision,
                         testing::Combine(testing::ValuesIn(kFamiliesOnCpu),
                                          testing::Values("cpu")),
                         [](const auto& info) { return TestNameOf(std::get<0>(info.param)); });
INSTANTIATE_TEST_SUITE_P(OnCuda, MixedPrecision,
                         testing::Combine(testing::ValuesIn(kFamilies), testing::Values("cuda:0")),
                         [](const auto& info) { return TestNameOf(std::get<0>(info.param)); });

// bfloat16 has 8 binary digits, half precision 11: shares of 1/256 and 1/2048 a rounding.
TEST_P(MixedPrecision, StaysNearFp32) {
  const auto& [family, name] = GetParam();
  const absl::StatusOr<c10::Device> device = infer::OpenDevice(name);
  if (!device.ok()) {
    GTEST_SKIP() << "needs " << name << ": " << std::string(device.status().message());
  }
  const auto exact = FirstLosses(Mixed(family, Precision::kFp32), *device);
  {
    SCOPED_TRACE("bf16");
    ExpectNear(exact, FirstLosses(Mixed(family, Precision::kBf16), *device), 0.03);
  }
  SCOPED_TRACE("fp16");
  ExpectNear(exact, FirstLosses(Mixed(family, Precision::kFp16), *device), 0.01);
}

// The precision that a job has when it names none.
class Bf16 : public Devices, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, Bf16, testing::Values("cyclegan", "dcgan"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(Bf16, GoesOnFromACheckpointBitByBit) {
  TrainConfig config = Mixed(GetParam(), TrainConfig().precision);
  ASSERT_EQ(config.precision, Precision::kBf16);
  config.batch_size = 1;
  config.steps = 4;
  config.checkpoint_every_steps = 2;
  GoingOn runs;
  runs.Expect([&](const std::string& attempt) { return Job(config, attempt); }, 2,
              {"result/weights.safetensors", "checkpoints/step-4/state.safetensors"});
  config.precision = Precision::kFp32;
  RecordingObserver observer;
  ASSERT_EQ(RunJob(Job(config, "fp32"), observer), Outcome::kFinished);
  EXPECT_NE(runs.whole.last.losses, observer.last.losses) << "it was not trained in bf16";
}

class OnCuda : public Devices, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Families, OnCuda, testing::ValuesIn(kFamilies),
                         [](const auto& info) { return TestNameOf(info.param); });

// The same weights, batches and noise: what differs is the order of sums.
TEST_P(OnCuda, LossesAreNearThoseOfTheCpu) {
  ATELIER_GPU_OR_SKIP(device);
  const TrainConfig config = Mixed(GetParam(), Precision::kFp32);
  ExpectNear(FirstLosses(config, torch::kCPU), FirstLosses(config, *device), 5e-3);
}

// GPUs add in any order, so two runs are equal about as far as fp32 goes, and not bit by bit.
TEST_P(OnCuda, GoesOnFromACheckpointThereAndOnTheCpu) {
  ATELIER_GPU_OR_SKIP(device);
  const auto job = [this](const char* attempt, const char* where) {
    TrainJob made = JobOf(Mixed(GetParam(), Precision::kFp32), attempt);
    made.device = where;
    return made;
  };
  const auto losses_of = [](TrainJob made, const std::filesystem::path& from,
                            std::int64_t* warnings) {
    made.resume_directory = from;
    RecordingObserver observer;
    EXPECT_EQ(RunJob(made, observer), Outcome::kFinished);
    *warnings = std::ranges::count_if(observer.warnings, [](const std::string& sentence) {
      return sentence.starts_with("the checkpoint was computed on");
    });
    return observer.last.losses;
  };
  std::int64_t warnings = 0;
  const LossesByName whole = losses_of(job("whole", "cuda:0"), "", &warnings);
  const std::filesystem::path middle = attempts() / "whole/checkpoints/step-4";
  const LossesByName there = losses_of(job("there", "cuda:0"), middle, &warnings);
  EXPECT_EQ(warnings, 0);
  const LossesByName on_cpu = losses_of(job("cpu", "cpu"), middle, &warnings);
  EXPECT_EQ(warnings, 1) << "it goes on on another device";
  ExpectNear({whole}, {there}, 1e-2);
  ExpectNear({whole}, {on_cpu}, 2e-2);
}

class Fp16 : public Devices {
 protected:
  // Step 4 of a job under another scale of its losses, as a checkpoint.
  void WriteScaled(const std::filesystem::path& from, double scale) const {
    Checkpoint checkpoint = LoadCheckpoint(from).value();
    int scales = 0;
    for (auto& [name, tensor] : checkpoint.state) {
      if (name.ends_with("#scale")) {
        tensor = torch::tensor({scale, 0.0}, torch::kFloat64);
        ++scales;
      }
    }
    EXPECT_EQ(scales, 2) << "one of the generators' loss and one of the discriminator's";
    ASSERT_TRUE(SaveCheckpoint(attempts() / "scaled/checkpoints", checkpoint, 1).ok());
  }

  static double ScaleOf(const std::filesystem::path& checkpoint) {
    return LoadCheckpoint(checkpoint).value().state.at("loss#scale")[0].item<double>();
  }
};

TEST_F(Fp16, GoesOnBitByBitWithItsScales) {
  TrainConfig config = Mixed("dcgan", Precision::kFp16);
  config.accumulate = 2;
  config.batch_size = 1;
  GoingOn runs;
  runs.Expect([&](const std::string& attempt) { return Job(config, attempt); }, 4,
              {"result/weights.safetensors", "checkpoints/step-8/state.safetensors"});
  EXPECT_TRUE(runs.whole.warnings.empty());
  const TensorMap state = LoadCheckpoint(attempts() / "whole/checkpoints/step-8").value().state;
  EXPECT_TRUE(state.contains("loss#scale") && state.contains("discriminator#scale"));
}

// Twelve steps overflow one after another and change nothing but the scale: no warning, and no
// weights restored, as there would be after three steps of numbers that are not finite.
TEST_F(Fp16, AScaleThatIsTooLargeIsLoweredUntilStepsAreTaken) {
  const TrainConfig config = Mixed("dcgan", Precision::kFp16);
  TrainJob before = Job(config, "before");
  before.config.steps = 4;
  RecordingObserver observer;
  ASSERT_EQ(RunJob(before, observer), Outcome::kFinished);
  const std::filesystem::path start = attempts() / "before/checkpoints/step-4";
  const double scale = ScaleOf(start) * 4096 * 4096;
  WriteScaled(start, scale);
  TrainJob after = Job(config, "after");
  after.config.steps = 40;
  after.config.checkpoint_every_steps = 8;
  after.config.keep_checkpoints = 10;
  after.resume_directory = attempts() / "scaled/checkpoints/step-4";
  ASSERT_EQ(RunJob(after, observer), Outcome::kFinished);
  EXPECT_TRUE(observer.warnings.empty()) << observer.warnings.front();
  const std::filesystem::path checkpoints = attempts() / "after/checkpoints";
  EXPECT_EQ(ScaleOf(checkpoints / "step-8"), scale / 16) << "halved at each of four steps";
  // Of the generator; none where even the first scale was too large.
  const auto steps = [](const std::filesystem::path& checkpoint) -> std::int64_t {
    const TensorMap state = LoadCheckpoint(checkpoint).value().state;
    const auto counter = state.find("generator.main.0.weight#step");
    return counter == state.end() ? 0 : counter->second.item<std::int64_t>();
  };
  EXPECT_EQ(steps(checkpoints / "step-8"), steps(start)) << "nothing is learnt meanwhile";
  EXPECT_GT(steps(checkpoints / "step-40"), steps(start));
  EXPECT_LT(ScaleOf(checkpoints / "step-40"), scale / 4096);
}

}  // namespace
}  // namespace atelier::train
