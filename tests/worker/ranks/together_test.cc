// Ranks that train a job together learn what one process with the whole batch learns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <optional>
#include <ostream>
#include <string>

#include "common/files.h"
#include "tests/worker/ranks/rank_jobs.h"
#include "worker/train/memory_use.h"

namespace atelier::train {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Case {
  const char* name;
  const char* family;
  // Of weights after three steps, in fp32: rounding stays near a tenth of one step of Adam (2e-4).
  // Nothing: gradients are small, as in fresh critics and codes, so that their last bits decide the
  // direction of whole steps; the losses tell here, and gradients_test.cc.
  std::optional<double> tolerance;
  std::function<void(TrainConfig&)> configure;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::vector<Case> Cases() {
  return {
      {"Cyclegan", "cyclegan", 3e-4,
       [](TrainConfig& config) {
         config.generator = "resnet-6";
         config.gan.pool_size = 3;  // full after the first step
         config.augment.differentiable = true;
         config.augment.adaptive = true;
       }},
      {"CycleganInParts", "cyclegan", 3e-4,
       [](TrainConfig& config) {
         config.generator = "resnet-6";
         config.batch_size = 2;
         config.accumulate = 2;
         config.gan.pool_size = 3;
       }},
      {"Faststyle", "faststyle", 2e-4,
       [](TrainConfig& config) {
         config.base_channels = 0;  // "lite" has one width
         config.faststyle.style_size = 64;
         config.ema_decay = 0.9;
       }},
      // Batch norms in both networks.
      {"Dcgan", "dcgan", 2e-5,
       [](TrainConfig& config) {
         config.gan.norm = "batch";
         config.accumulate = 2;
         config.resample.strength = 0.5;
         config.resample.window = 1;
       }},
      // Five turns of the critic a step.
      {"Wgan", "wgan", std::nullopt, [](TrainConfig&) {}},
      {"Pix2pix", "pix2pix", 1e-4,
       [](TrainConfig& config) {
         config.generator = "unet-64";
         config.pix2pix.edges = true;
         config.gradient_clip = 0.5;
       }},
      {"Vaegan", "vaegan", std::nullopt,
       [](TrainConfig& config) { config.vaegan.regularization_weight = 1e-3; }},
  };
}

class EveryFamilyOnRanks : public Ranks, public testing::WithParamInterface<Case> {};
INSTANTIATE_TEST_SUITE_P(Families, EveryFamilyOnRanks, testing::ValuesIn(Cases()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(EveryFamilyOnRanks, TwoHalvesOfABatchTeachWhatTheWholeTeaches) {
  TrainConfig config = Config(GetParam().family);
  GetParam().configure(config);
  RecordingObserver alone;
  ASSERT_EQ(RunJob(JobOf(config, "alone"), alone), Outcome::kFinished);
  for (const auto& outcome : RunOnTwo(config, "two")) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Outcome::kFinished);
  }
  const TensorMap whole = StateOf("alone");
  const TensorMap halves = StateOf("two");
  EXPECT_EQ(whole.size(), halves.size());
  if (GetParam().tolerance.has_value()) {
    EXPECT_LT(Difference(whole, halves), *GetParam().tolerance);
  }
  for (const auto& [name, loss] : alone.last.losses) {
    EXPECT_NEAR(loss, observers_[0].last.losses.at(name), 5e-4 * (0.1 + std::abs(loss))) << name;
  }
  EXPECT_EQ(observers_[0].checkpoint_steps, alone.checkpoint_steps);
  EXPECT_TRUE(observers_[1].checkpoint_steps.empty()) << "only the first tells";
}

TEST_F(Ranks, MeasurementsOfOneRankDecideForAll) {
  TrainConfig config = Config("dcgan");
  config.steps = 6;
  config.evaluate.every_steps = 1;
  config.evaluate.pictures = 4;
  config.evaluate.patience = 1;
  config.evaluate.min_delta = 1e9;  // nothing is ever better: it ends after two measurements
  for (const auto& outcome : RunOnTwo(config, "measured")) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Outcome::kFinished);
  }
  EXPECT_LT(observers_[0].last.step, 6);
}

TEST_F(Ranks, AnErrorOfOneRankEndsAllWithItsReason) {
  const auto outcomes = RunOnTwo(Config("dcgan"), "error", [](int rank, TrainJob& job) {
    if (rank == 1) {
      job.content_directory = job.content_directory / "nothing";
    }
  });
  EXPECT_EQ(outcomes[1].status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(outcomes[0].status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(outcomes[0].status().message()),
              AllOf(HasSubstr("rank 1 ended"), HasSubstr("no readable picture")));
}

TEST_F(Ranks, WhatOnlyAnotherOneFindsIsToldByTheFirst) {
  const std::filesystem::path copy = root() / "copy";
  std::filesystem::copy(root() / "content", copy);
  TrainConfig config = Config("dcgan");
  config.steps = 12;
  observers_[0].on_start = [&] {  // its own are left alone
    std::filesystem::remove(copy / "2.png");
    std::filesystem::remove(copy / "4.png");
  };
  const auto outcomes = RunOnTwo(config, "broken", [&](int rank, TrainJob& job) {
    job.picture_cache_bytes = 0;
    job.content_directory = rank == 1 ? copy : job.content_directory;
  });
  for (const auto& outcome : outcomes) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }
  const std::string log = *ReadFile(attempts() / "broken/log.txt", 1 << 20);
  const std::string card = *ReadFile(attempts() / "broken/result/card.md", 1 << 20);
  const std::string report = *ReadFile(attempts() / "broken/report.html", 16 << 20);
  for (const char* file : {"2.png", "4.png"}) {
    const std::string sentence =
        "data set content: " + std::string(file) + " could be read when the job began";
    EXPECT_THAT(observers_[0].warnings, testing::Contains(HasSubstr(sentence)).Times(1));
    EXPECT_THAT(log, HasSubstr(sentence));
    EXPECT_THAT(report, HasSubstr(sentence));
    EXPECT_THAT(card, HasSubstr(file));
  }
  EXPECT_THAT(observers_[0].warnings, testing::Contains(HasSubstr("(2 of 6 files broken so far)")));
  EXPECT_TRUE(observers_[1].warnings.empty());
}

TEST_F(Ranks, TheMemoryThatIsToldIsOfAllOfThem) {
  ASSERT_TRUE(RunOnTwo(Config("dcgan"), "memory")[0].ok());
  // Both are this process.
  EXPECT_GT(observers_[0].last.memory_bytes, MemoryInUse(torch::kCPU) * 3 / 2);
}

TEST_F(Ranks, AStopOfOneStopsAllAndTwoGoOnWhereOneWas) {
  TrainConfig config = Config("dcgan");
  config.checkpoint_every_steps = 1;
  RecordingObserver stopped;
  stopped.stop_at = 1;
  ASSERT_EQ(RunJob(JobOf(config, "first"), stopped), Outcome::kStopped);
  const auto resumed = [&](int, TrainJob& job) {
    job.resume_directory = attempts() / "first/checkpoints/step-1";
  };
  observers_[1].stop = true;  // before the first of its steps
  for (const auto& outcome : RunOnTwo(config, "second", resumed)) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Outcome::kStopped);
  }
  observers_[1].stop = false;
  for (const auto& outcome : RunOnTwo(config, "third", resumed)) {
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(*outcome, Outcome::kFinished);
  }
  RecordingObserver alone;
  ASSERT_EQ(RunJob(JobOf(config, "alone"), alone), Outcome::kFinished);
  EXPECT_LT(Difference(StateOf("alone"), StateOf("third")), 2e-5);
}

}  // namespace
}  // namespace atelier::train
