// Training that watches itself: metrics, the best step, early stop, the plateau, resampling,
// further losses. Tiny sets, tiny networks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/errors.h"
#include "common/files.h"
#include "tests/worker/train/watched_job.h"
#include "worker/models/safetensors.h"
#include "worker/train/checkpoint.h"
#include "worker/train/train_step.h"
#include "worker/train/trainer.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

// Everything that a checkpoint keeps since training watches itself.
std::vector<TrainConfig> WatchedConfigs(TrainConfig dcgan, TrainConfig cyclegan, TrainConfig cut,
                                        TrainConfig pix2pix) {
  dcgan.evaluate.metrics = {"diversity", "kernel_distance"};
  dcgan.evaluate.best_result = true;
  dcgan.evaluate.patience = 100;
  dcgan.schedule.kind = ScheduleKind::kPlateau;
  dcgan.schedule.plateau_patience = 0;
  dcgan.schedule.plateau_threshold = 1;  // nothing is good enough: cut at every measurement
  dcgan.schedule.plateau_factor = 0.5;
  dcgan.resample = {.strength = 2, .window = 1};
  dcgan.losses.regularization_weight = 1e-4;
  dcgan.ema_decay = 0.9;

  cyclegan.tier = "base";
  cyclegan.generator_options = {.norm = "batch", .resize_convolution = true, .multi_level = true};
  cyclegan.gan.pool_size = 0;
  cyclegan.gan.discriminator = DiscriminatorKind::kMultiScale;
  cyclegan.resample = {.strength = 2, .window = 2};
  cyclegan.losses = {.structure_weight = 1, .statistics_weight = 0.1};
  cyclegan.evaluate.held_out = 0.4;
  cyclegan.evaluate.pictures = 2;
  cyclegan.evaluate.metrics = {"style_gain", "content_similarity"};

  cut.generator = "cut-resnet-6";
  cut.cut.patches = 8;
  cut.resample = {.strength = 2, .window = 2};
  cut.losses = {.perceptual_weight = 0.1, .total_variation_weight = 0.1};
  cut.evaluate.metrics = {"feature_distance"};

  pix2pix.generator = "unet-64";
  pix2pix.pix2pix.edges = true;
  pix2pix.resample = {.strength = 2, .window = 2};
  pix2pix.evaluate.metrics = {"ssim"};
  return {dcgan, cyclegan, cut, pix2pix};
}

TEST_F(Watched, GoesOnFromACheckpointBitByBitAndMeasuresTheSame) {
  for (const TrainConfig& config : WatchedConfigs(Measured("dcgan"), Measured("cyclegan"),
                                                  Measured("cut"), Measured("pix2pix"))) {
    SCOPED_TRACE(config.family);
    const std::string name = config.family + "-";
    GoingOn going_on;
    going_on.Expect([&](const std::string& attempt) { return Job(config, name + attempt); }, 4,
                    {"result/weights.safetensors", "checkpoints/step-8/state.safetensors"});
    auto measured = Measurements(name + "first");
    measured.merge(Measurements(name + "second"));
    EXPECT_EQ(measured, Measurements(name + "whole"));
    EXPECT_EQ(measured.size(), 4u);
    EXPECT_EQ(going_on.whole.last.metrics_step, 8);
    EXPECT_EQ(going_on.whole.last.metrics.size(), config.evaluate.metrics.size());
  }
}

TEST_F(Watched, MeasuringChangesNothingOfTheTraining) {
  TrainConfig config = Small("dcgan");
  config.steps = 4;
  RecordingObserver observer;
  RunJob(Job(config, "blind"), observer);
  TrainConfig measured = Measured("dcgan");
  measured.steps = 4;
  RunJob(Job(measured, "watched"), observer);
  ExpectEqualFiles("blind/result/weights.safetensors", "watched/result/weights.safetensors");
  EXPECT_EQ(observer.last.metrics.count("kernel_distance"), 1u);
  const std::string card = *ReadFile(attempts() / "watched/result/card.md", 1 << 20);
  EXPECT_THAT(card, AllOf(HasSubstr("kernel_distance"), HasSubstr("step 4")));
}

TEST_F(Watched, TheBestStepIsKeptAndBecomesTheResultAlsoAfterAResume) {
  TrainConfig config = Measured("dcgan");
  // Measured every two steps: which of them is the best is left to the training.
  config.evaluate.metrics = {"diversity"};
  config.evaluate.best_result = true;
  config.keep_checkpoints = 1;
  config.checkpoint_every_steps = 1;
  config.schedule.kind = ScheduleKind::kConstant;
  config.steps = 12;
  RecordingObserver first;
  first.stop_at = 9;
  RunJob(Job(config, "first"), first);
  TrainJob second = Job(config, "second");
  second.resume_directory = FindNewestCheckpoint(attempts());
  RecordingObserver rest;
  ASSERT_EQ(RunJob(second, rest), Outcome::kFinished);
  auto measured = Measurements("first");
  measured.merge(Measurements("second"));
  std::int64_t best = 0;
  double diversity = -1;
  for (const auto& [step, metrics] : measured) {
    if (metrics["metric/diversity"].get<double>() > diversity) {
      diversity = metrics["metric/diversity"].get<double>();
      best = step;
    }
  }
  std::vector<std::string> kept;
  for (const auto& entry : fs::directory_iterator(attempts() / "second/checkpoints")) {
    kept.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(kept, Contains("step-" + std::to_string(best)));
  EXPECT_LE(kept.size(), 2u) << "the newest and the best";
  const auto checkpoint =
      LoadCheckpoint(attempts() / "second/checkpoints" / ("step-" + std::to_string(best)));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto result =
      models::ReadSafetensors(attempts() / "second/result/weights.safetensors", 64u << 20);
  for (const auto& [name, tensor] : result->tensors) {
    EXPECT_TRUE(torch::equal(tensor, checkpoint->state.at("generator." + name))) << name;
  }
  EXPECT_THAT(*ReadFile(attempts() / "second/result/card.md", 1 << 20),
              HasSubstr("weights of step " + std::to_string(best)));
}

TEST_F(Watched, StopsEarlyFinishesAndStaysFinished) {
  TrainConfig config = Measured("dcgan");
  config.evaluate.patience = 2;
  config.evaluate.min_delta = 1e9;  // nothing is enough better
  config.steps = 100;
  RecordingObserver observer;
  const TrainJob job = Job(config, "1");
  EXPECT_EQ(RunJob(job, observer), Outcome::kFinished);
  EXPECT_EQ(observer.last.step, 6) << "the first measurement and two that are not better";
  EXPECT_THAT(observer.warnings, Contains(AllOf(HasSubstr("stopped early after step 6"),
                                                HasSubstr("kernel_distance"))));
  EXPECT_TRUE(fs::exists(job.attempt_directory / "result/model.json"));
  TrainJob again = Job(config, "2");
  again.resume_directory = FindNewestCheckpoint(attempts());
  RecordingObserver rest;
  EXPECT_EQ(RunJob(again, rest), Outcome::kFinished);
  EXPECT_EQ(rest.started_at, 6);
  ExpectEqualFiles("1/result/weights.safetensors", "2/result/weights.safetensors");
}

TEST_F(Watched, TooFewPicturesAreAnErrorWithTheNumberBeforeTheFirstStep) {
  TrainConfig config = Measured("cyclegan");
  config.tier = "base";
  config.evaluate.metrics = {"frechet_distance"};
  config.evaluate.pictures = 100;
  RecordingObserver observer;
  const auto outcome = RunTraining(Job(config, "1"), observer, observer.stop);
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status())) << outcome.status();
  EXPECT_THAT(std::string(outcome.status().message()),
              AllOf(HasSubstr("frechet_distance"), HasSubstr("81"), HasSubstr(" 6 ")));
  EXPECT_EQ(observer.started_at, -1);
}

TEST_F(Watched, HeldOutPicturesAreNotLearntFrom) {
  TrainConfig config = Measured("dcgan");
  config.evaluate.held_out = 0.5;
  config.evaluate.metrics = {"diversity"};
  config.steps = 2;
  RecordingObserver observer;
  RunJob(Job(config, "1"), observer);
  const std::string card = *ReadFile(attempts() / "1/result/card.md", 1 << 20);
  EXPECT_THAT(card, AllOf(HasSubstr("| content | content | 3 |"),
                          HasSubstr("held out for evaluation | content | 3")));
  EXPECT_EQ(observer.last.epoch, 1) << "two steps of two pictures of three";
}

// --- Refusals that need the networks ---

TEST_F(Watched, FreezingAllLayersIsRefusedByName) {
  for (const char* family : {"dcgan", "cyclegan"}) {
    TrainConfig config = Small(family);
    config.gan.freeze_layers = 16;
    RecordingObserver observer;
    const auto outcome = RunTraining(Job(config, family), observer, observer.stop);
    EXPECT_EQ(FieldOf(outcome.status()), "train.gan.freeze_layers") << outcome.status();
  }
}

}  // namespace
}  // namespace atelier::train
